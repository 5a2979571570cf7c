"""Noise in training: missing words, and shaken embeddings."""
