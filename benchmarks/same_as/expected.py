"""Differences that are meant: a place, which may hold ``*``, and the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Where two checkouts may differ, as ``TOPIC: PATH`` of the table that is printed, and why."""

    place: str
    reason: str


EXPECTED: tuple[Expected, ...] = ()
"""None for now: behaviour stays."""


def read(path: Path) -> tuple[Expected, ...]:
    """Expected differences of a JSON file, an object of places and reasons, beside the constant."""
    found = json.loads(path.read_text())
    return EXPECTED + tuple(Expected(place=place, reason=found[place]) for place in found)
