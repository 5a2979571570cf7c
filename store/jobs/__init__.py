"""Jobs, their events, and their counts."""
