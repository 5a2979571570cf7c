"""Make a dataset of texts, pairs of texts or tagged sentences: ids of words, by frequency."""
