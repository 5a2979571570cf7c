"""A loss of classes with a margin, a temperature, weights of classes, and smoothed labels."""
