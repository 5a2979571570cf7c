"""A smaller member of the network's own family, started from the network's weights."""
