"""Structured pruning: removes whole channels, following the dependency graph."""
