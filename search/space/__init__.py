"""The search space of a job: knobs, what they cost, and what can be met."""
