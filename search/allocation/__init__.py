"""Spend few bits and prune many channels where a profile shows the least harm."""
