"""Static post-training quantization: int8 activations, 8- or 4-bit weights, stored as such."""
