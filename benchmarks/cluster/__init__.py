"""What service, searcher and workers cost and survive."""
