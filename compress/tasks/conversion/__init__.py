"""Make a dataset as the house keeps it of one as people have it."""
