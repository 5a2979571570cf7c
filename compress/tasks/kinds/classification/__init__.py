"""Classification: one label per example, of whatever axes."""
