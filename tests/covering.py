"""Large cross products of tests: a cover of them in ``make test``, all of them in ``make proofs``.

A test that is parametrised over several axes, such as every technique on every family, names them:
``@pytest.mark.cross("case", "name")``. A *cover* takes as few combinations as hold every value of
every axis, along the diagonal of the product, so neighbours differ in all axes at once. The other
combinations are marked ``proof``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from _pytest.mark import ParameterSet

Combination = tuple[str, ...]


def cover(combinations: Sequence[Combination]) -> set[int]:
    """The indices of combinations that together hold every value of every axis.

    Greedy: next comes the combination with the most values that none before has held; the first
    of equals. A combination holds at least one such value until all are held.
    """
    missing = {(axis, value) for each in combinations for axis, value in enumerate(each)}
    chosen: set[int] = set()
    while missing:
        gains = [len(missing & set(enumerate(each))) for each in combinations]
        best = max(range(len(combinations)), key=gains.__getitem__)
        chosen.add(best)
        missing -= set(enumerate(combinations[best]))
    return chosen


def rows(
    combinations: Sequence[tuple[Any, ...]],
    ids: Sequence[str],
    *,
    among: Callable[..., bool] = lambda *parts: True,
) -> list[ParameterSet]:
    """The parameters of a fixture or test whose axes are the parts of each combination.

    The cover is one of those ``among`` them that the function says yes to; it is given the parts.
    """
    taken = [number for number, each in enumerate(combinations) if among(*each)]
    found = cover([tuple(str(id(part)) for part in combinations[number]) for number in taken])
    needed = {taken[number] for number in found}
    return [
        pytest.param(each, id=name, marks=() if number in needed else pytest.mark.proof)
        for number, (each, name) in enumerate(zip(combinations, ids, strict=True))
    ]


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark what no cover needs as ``proof``."""
    crossed: dict[str, list[tuple[pytest.Item, Combination]]] = {}
    for item in items:
        marker = item.get_closest_marker("cross")
        if marker is not None:
            name = item.nodeid.partition("[")[0]
            crossed.setdefault(name, []).append((item, _combination(item, marker.args)))
    for rows in crossed.values():
        needed = cover([combination for _, combination in rows])
        for number, (item, _) in enumerate(rows):
            if number not in needed:
                item.add_marker("proof")


def _combination(item: pytest.Item, axes: Sequence[str]) -> Combination:
    """What an item holds on each axis: the object that pytest gives to all items of one value."""
    if not isinstance(item, pytest.Function):
        raise pytest.UsageError(f"{item.nodeid}: only functions of tests are crossed")
    unknown = [axis for axis in axes if axis not in item.callspec.params]
    if unknown or len(axes) < 2:
        raise pytest.UsageError(f"{item.nodeid}: cross names {axes}, its axes are others")
    return tuple(str(id(item.callspec.params[axis])) for axis in axes)
