"""The phases of a job, each in short transactions."""
