"""Candidates that do not come from a sampler: of people, of earlier jobs, untried ones."""
