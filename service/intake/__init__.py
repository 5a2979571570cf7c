"""Receive what clients send: files, jobs, candidates."""
