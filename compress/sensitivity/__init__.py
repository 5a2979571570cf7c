"""Sensitivity analysis: cheap probes of how much bits of layers and groups of channels matter."""
