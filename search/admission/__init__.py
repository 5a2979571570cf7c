"""Decide which candidates become trials."""
