"""What workers and meters ask for."""
