"""How what is printed is laid out."""
