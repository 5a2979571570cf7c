"""The conditions under which fields have an effect, and the combinations that configs refuse.

These tables of all techniques feed the search. A field without effect is set to a default, so that
candidates that do the same are one (``compress.techniques.rules.canonical``), its knob is not given
to the sampler, and a combination that a config refuses becomes the nearest one that it accepts.
Every technique declares its own part in its folder, in ``technique.py``.
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
