"""Networks whose weights many members share: what is sampled, and how they are trained."""
