"""Starts processes: the command line, a local cluster, and what runs in one."""
