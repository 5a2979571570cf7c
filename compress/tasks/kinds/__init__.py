"""The tasks, a folder or a file each."""
