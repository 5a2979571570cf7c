"""What networks are for: how data is read, and how answers are judged."""
