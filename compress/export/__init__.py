"""From a compressed network to a file."""
