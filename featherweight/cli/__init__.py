"""The command line, written on the client."""
