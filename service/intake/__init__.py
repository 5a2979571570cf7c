"""What is sent in: files, jobs, candidates."""
