"""Weight sharing: a layer's weights are picked from a short list of values, its codebook."""
