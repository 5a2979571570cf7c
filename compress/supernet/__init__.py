"""Train weights that many members share."""
