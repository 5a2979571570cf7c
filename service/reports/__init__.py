"""What is said of a job's files."""
