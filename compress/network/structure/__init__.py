"""Which channels of a network depend on each other, and how they are removed."""
