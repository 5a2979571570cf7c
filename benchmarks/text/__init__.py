"""Networks of text on open data sets, which are given as parquet files and are no part of this."""
