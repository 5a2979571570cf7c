"""Numbers, each a ratio or a percentile taken in one run on this machine. Never part of the tests."""
