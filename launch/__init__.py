"""Start processes: the command line, a local cluster, and the roles in it."""
