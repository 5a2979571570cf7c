"""When a field of a config counts, and what configs refuse together, over all techniques.

These tables feed the search: a field that counts for nothing is set to a default, so that
candidates which do the same are one (``compress.techniques.rules.canonical``), its knob is not
given to the sampler, and a combination that a config refuses becomes the nearest one that it
accepts. Every technique writes its own part down in its folder, in ``technique.py``.
"""

from __future__ import annotations

from compress.techniques.description.rules import Applies, Refused
from compress.techniques.registry import TECHNIQUES

APPLIES: tuple[Applies, ...] = tuple(
    rule for technique in TECHNIQUES for rule in technique.conditions
)
"""In an order in which every rule reads fields that earlier rules have dealt with."""
REFUSED: tuple[Refused, ...] = tuple(
    refused for technique in TECHNIQUES for refused in technique.refused
)
"""Every combination of values, each of them allowed alone, that a config or a step refuses."""
