"""Featherweight: a Pareto front of smaller networks, as files that run."""

__version__ = "0.2.0"
