"""What stands beside a file: its model card, its metadata, and programs that run it."""
