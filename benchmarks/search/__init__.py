"""What the search finds, and how soon."""
