"""Vocabulary pruning: a table keeps the words that matter, all others become the unknown one."""
