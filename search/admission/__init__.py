"""Which candidates become trials."""
