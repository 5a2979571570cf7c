"""Decide what to try next and when to stop.

The service may import everything but ``study``, ``samplers``, ``loop`` and ``main``, which are the
searcher's own. Optuna is known only there and in ``phases``.
"""
