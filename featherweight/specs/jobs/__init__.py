"""What is asked of jobs that are there: changes, and a comparison of two."""
