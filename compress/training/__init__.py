"""Training: one loop, its objectives, its optimiser and what it needs at hand."""
