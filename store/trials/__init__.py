"""Trials, their rungs, and candidates that wait to become trials."""
