"""Speaks HTTP: REST, events, web pages, and Optuna's dashboard through a proxy. Never torch."""
