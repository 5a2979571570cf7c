"""Everything that is reported about a job's files."""
