"""Event streams, and whoever waits for a change."""
