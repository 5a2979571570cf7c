"""Ways to run several workers."""
