"""Make a dataset of a table: csv, or JSON with one object a line."""
