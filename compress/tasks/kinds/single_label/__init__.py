"""What all tasks share in which each example has one label of some classes."""
