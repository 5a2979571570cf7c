"""Sparsity: sets single weights to zero, unstructured or N of every M."""
