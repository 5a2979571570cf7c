"""Measuring a file as it ships: accuracy, latency, memory."""
