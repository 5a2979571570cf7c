"""Files on the worker's machine."""
