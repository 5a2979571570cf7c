"""Supernets, whose weights many members share: what is sampled, and how members are cut out."""
