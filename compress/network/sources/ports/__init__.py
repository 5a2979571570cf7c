"""How uploaded networks take examples and answer: several ports of a file, one of each here."""
