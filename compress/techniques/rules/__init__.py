"""Which fields and techniques go together, and the one form of a candidate."""
