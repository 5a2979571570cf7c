"""Allocation: bits and ratios where a profile says that they harm least."""
