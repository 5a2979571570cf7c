"""The compose file as it is, under an engine: containers die, versions change, jobs go on."""
