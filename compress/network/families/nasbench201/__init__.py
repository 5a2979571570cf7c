"""The cell space of NAS-Bench-201: 15,625 networks of one skeleton."""
