"""Identify the sender of a request, and decide what it may do."""
