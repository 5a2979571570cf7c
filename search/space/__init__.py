"""The search space of a job: its knobs, what candidates cost, and which constraints can be met."""
