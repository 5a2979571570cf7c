"""Engines, clocks and migrations, for either database."""
