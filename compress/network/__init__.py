"""A network: its module, its layers, its structure, and where it comes from."""
