"""Where files must run: what each target allows, and how a file becomes one of it."""
