"""The kinds of work that a trial can be besides compressing a candidate."""
