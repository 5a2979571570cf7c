"""The vocabulary of the project: what a user asks for (specs), states, and wire formats."""
