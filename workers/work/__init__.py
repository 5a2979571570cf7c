"""The kinds of work of a trial other than compressing a candidate."""
