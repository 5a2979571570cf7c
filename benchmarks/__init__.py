"""Numbers: ratios and percentiles taken in one run on this machine. Never part of the tests."""
