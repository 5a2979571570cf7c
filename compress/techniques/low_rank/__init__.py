"""Low rank: replaces a layer by two or three thinner ones in sequence."""
