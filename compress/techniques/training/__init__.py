"""Techniques that change how a network learns, and nothing of its file."""
