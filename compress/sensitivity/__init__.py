"""Profiling: how much each layer's bits and each group's channels matter, by cheap probes."""
