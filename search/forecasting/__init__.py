"""How long a job will take."""
