"""The front of a job's files, and the file to recommend, from their measurements."""
