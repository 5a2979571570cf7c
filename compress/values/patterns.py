"""Patterns that stand for names of layers, as in ``exclude`` and ``layer_bits``.

A list is separated by commas; ``*`` stands for anything, dots included; ``=4`` behind a pattern is
what the list says of the layers it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from typing import Annotated, TypeAlias

from pydantic import Field

from compress.values.errors import InvalidCandidate

Exclude: TypeAlias = Annotated[
    str,
    Field(
        max_length=500,
        description="Layers left alone: names or patterns with *, separated by commas.",
    ),
]
FIELDS = ("exclude", "layer_bits")
"""The fields of configs that hold patterns."""
_MOST_SHOWN = 2


def matching(text: str, names: Sequence[str], *, technique: str) -> tuple[str, ...]:
    """Return the names that a list of patterns matches.

    Raises InvalidCandidate if one of the patterns matches none: a layer that was meant to be
    spared would be changed in silence.
    """
    found: set[str] = set()
    for pattern, _ in _parts(text):
        meant = re.compile(translate(pattern))
        hits = {name for name in names if meant.match(name)}
        if not hits:
            raise InvalidCandidate(
                f"{technique}: the pattern {pattern!r} matches no layer; the layers are "
                f"{list(names)}"
            )
        found |= hits
    return tuple(name for name in names if name in found)


def resolved(text: str, *, original: Sequence[str], present: Sequence[str], technique: str) -> str:
    """Replace the patterns of a list by the names of ``present`` layers.

    A pattern means the layers of the ``original`` network that it matches, and whatever has taken
    their place since: ``conv1`` also means its factors ``conv1.first`` and ``conv1.last``. A layer
    that was removed leaves nothing behind. Raises InvalidCandidate for a pattern that matches no
    layer of the original network.
    """
    parts: list[str] = []
    for pattern, said in _parts(text):
        meant = set(matching(pattern, original, technique=technique))
        parts += [f"{name}{said}" for name in present if not meant.isdisjoint(_path(name))]
    return ",".join(parts)


def words(text: str) -> str:
    """Describe a list in a few words: `` except conv1, layer1.*``; an empty one with nothing."""
    shown = [f"{pattern}{said}" for pattern, said in _parts(text)]
    if not shown:
        return ""
    rest = ["..."] if len(shown) > _MOST_SHOWN else []
    return f" except {', '.join([*shown[:_MOST_SHOWN], *rest])}"


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield every pattern with what is said of its layers: nothing, or ``=`` and a value."""
    for part in text.split(","):
        pattern, equals, value = (piece.strip() for piece in part.partition("="))
        if pattern:
            yield pattern, f"{equals}{value}"


def _path(name: str) -> Iterator[str]:
    """Return a name and the names that contain it: ``a.b.c``, ``a.b``, ``a``."""
    while name:
        yield name
        name = name.rpartition(".")[0]
