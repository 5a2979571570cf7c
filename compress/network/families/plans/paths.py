"""Paths through the graph of a cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Arrow: TypeAlias = tuple[int, int]
"""``(source, target)``: from a node to a later one."""


def between(arrows: Iterable[Arrow], *, last: int) -> frozenset[Arrow]:
    """Those on a path from node 0 to the last node."""
    given = sorted(arrows, key=lambda arrow: arrow[1])
    reached, read = {0}, {last}
    for source, target in given:
        reached |= {target} if source in reached else set()
    for source, target in reversed(given):
        read |= {source} if target in read else set()
    return frozenset((s, t) for s, t in given if s in reached and t in read)
