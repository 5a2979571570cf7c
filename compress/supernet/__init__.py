"""Training weights that many members share."""
