"""The training loop, its objectives, its optimiser and the context of a trial."""
