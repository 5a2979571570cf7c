"""The relation of every pair of techniques, first before second.

Two techniques compose unless the later one declares otherwise in its folder, among its
``exceptions`` (``compress.techniques.description.technique``).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

from compress.techniques.description.rules import Relation
from compress.techniques.description.technique import Technique
from compress.techniques.registry import TECHNIQUES

_COMPOSES = "The later one works on what the earlier one has made."


def _relation(first: Technique, second: Technique) -> Relation:
    for relation in second.exceptions:
        if relation.first == first.name:
            return relation
    why = second.composes.get(first.name, _COMPOSES)
    return Relation(first=first.name, second=second.name, kind="composes", why=why)


RELATIONS: tuple[Relation, ...] = tuple(_relation(*pair) for pair in combinations(TECHNIQUES, 2))
_BY_PAIR = {(relation.first, relation.second): relation for relation in RELATIONS}


def between(first: str, second: str) -> Relation:
    """Return the relation of two techniques, the earlier one first. Raises KeyError otherwise."""
    return _BY_PAIR[first, second]


def conflict(
    techniques: Collection[str], relations: Collection[Relation] = RELATIONS
) -> Relation | None:
    """Return the first relation by which two of these techniques exclude each other."""
    excluding = (relation for relation in relations if relation.kind == "excludes")
    return next((r for r in excluding if {r.first, r.second} <= set(techniques)), None)
