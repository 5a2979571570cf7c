"""What the networks of families compute, layer by layer."""
