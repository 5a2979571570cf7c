"""What all requests of a process share: places, kept answers, counts."""
