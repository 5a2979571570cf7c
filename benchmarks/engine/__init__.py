"""What the engine makes of networks."""
