"""Commands about the beginning of a job, and about what it found."""
