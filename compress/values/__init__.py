"""Plain values that describe networks, candidates and files. Torch-free."""
