"""Optuna's dashboard, in a process of its own."""
