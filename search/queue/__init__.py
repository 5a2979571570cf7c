"""Candidates that no sampler proposed: from people, from earlier jobs, and untried ones."""
