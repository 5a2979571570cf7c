"""What kind of file something is, by its bytes, and what to do with the wrong kind."""
