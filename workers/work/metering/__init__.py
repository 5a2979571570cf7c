"""A meter: it measures files that others made, and trains nothing."""
