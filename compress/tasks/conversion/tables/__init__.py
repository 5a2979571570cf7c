"""Make a dataset of a table: csv, JSON with one object a line, or parquet."""
