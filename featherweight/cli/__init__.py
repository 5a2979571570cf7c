"""The command line, based on the client."""
