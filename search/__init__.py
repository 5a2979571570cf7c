"""Decides what to try next and when to stop.

The pure files (``space``, ``grid``, ``controls``, ``objectives``, ``pareto``, ``stopping``,
``front``, ``feasibility``, ``forecast``, ``sampling``, ``errors``) know neither Optuna nor the
store; the service uses them too. The rest is the searcher's own.
"""
