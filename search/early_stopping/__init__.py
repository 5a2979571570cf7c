"""Decide which trials train on and which are stopped."""
