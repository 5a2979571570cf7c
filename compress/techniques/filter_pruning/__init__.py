"""Structured pruning: whole channels leave, through the dependency graph."""
