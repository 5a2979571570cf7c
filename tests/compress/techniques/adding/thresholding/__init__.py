"""Set weights to zero that are small in their layer: a technique that only a test adds."""
