"""What networks are for: data, read and judged."""
