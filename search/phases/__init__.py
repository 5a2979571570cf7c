"""The phases of a job, each as short transactions."""
