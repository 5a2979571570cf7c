"""The vocabulary of the house: what a user asks (specs), states, and the shapes on the wire."""
