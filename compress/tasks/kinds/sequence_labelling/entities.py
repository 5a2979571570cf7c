"""Entities that tags say, as conlleval and seqeval's default find them. Torch-free.

A tag is ``O``, or a prefix and a type: ``B-PER`` begins an entity, ``I-PER`` goes on with it. An
``I`` behind another type, or behind ``O``, begins one too: lenient, unlike seqeval's strict IOB2.
``E`` and ``S`` of the schemes IOBES and BILOU (``L``, ``U``) end one. Tags of other forms, such as
parts of speech, are entities of one word each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

OUTSIDE = "O"
_ENDING, _SINGLE, _BEGINNING = frozenset("EL"), frozenset("SU"), frozenset("B")
_PREFIXES = frozenset("BIELSU")


class Entity(NamedTuple):
    """A type and the words from ``start`` up to, and without, ``end``."""

    type: str
    start: int
    end: int


def has_scheme(names: Sequence[str]) -> bool:
    """Whether all tags are ``O`` or have a prefix, and one begins an entity."""
    split = [_parts(name) for name in names if name != OUTSIDE]
    return bool(split) and all(prefix in _PREFIXES for prefix, _ in split)


def entities(tags: Sequence[str], *, scheme: bool = True) -> Iterator[Entity]:
    """Yield the entities of one sentence, in order."""
    if not scheme:
        yield from (Entity(tag, at, at + 1) for at, tag in enumerate(tags) if tag != OUTSIDE)
        return
    start, before, kind = 0, OUTSIDE, ""
    for at, tag in enumerate((*tags, OUTSIDE)):
        prefix, found = (OUTSIDE, "") if tag == OUTSIDE else _parts(tag)
        goes_on = before not in (OUTSIDE, *_ENDING, *_SINGLE) and found == kind
        goes_on = goes_on and prefix not in (OUTSIDE, *_BEGINNING, *_SINGLE)
        if before != OUTSIDE and not goes_on:
            yield Entity(kind, start, at)
        if prefix != OUTSIDE and not goes_on:
            start = at
        before, kind = prefix, found


def _parts(tag: str) -> tuple[str, str]:
    prefix, mark, kind = tag.partition("-")
    return (prefix, kind) if mark else (prefix, "_")
