"""Measure a file as it ships: the quality of its answers, latency and memory."""
