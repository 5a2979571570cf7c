"""The first points of a study: far from each other, and spread over all costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.samplers.known_cost.knowledge import Facts
from search.samplers.known_cost.model import Axes
from search.samplers.parameters import Codes

_LOOKED_AT = 256


def farthest(
    axes: Axes,
    seen: tuple[Codes, Facts],
    offered: tuple[Codes, Facts],
    random: np.random.Generator,
) -> int:
    """Return the index of the offered point to try next.

    It is the one that is farthest from all seen points, among 256 whose first known cost has the
    next rank in the van der Corput sequence (Halton, 1960), or among 256 random ones.
    """
    looked_at = _looked_at(axes, len(seen[0]), offered[1], len(offered[0]), random)
    if len(seen[0]) == 0:
        return int(looked_at[0])
    old = _coordinates(axes, *seen)
    new = _coordinates(axes, offered[0][looked_at], offered[1].at(looked_at))
    away = ((new[:, None, :] - old[None, :, :]) ** 2).sum(axis=2).min(axis=1)
    return int(looked_at[np.argmax(away)])


def _looked_at(
    axes: Axes, number: int, facts: Facts, count: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """Choose some of the points, in random order."""
    order = random.permutation(count)
    if axes.costs:
        cost = facts.costs[min(axes.costs)]
        ascending = order[np.argsort(cost[order], kind="stable")]
        middle = int(van_der_corput(number + 1) * count)
        first = min(max(0, middle - _LOOKED_AT // 2), max(0, count - _LOOKED_AT))
        order = random.permutation(ascending[first : first + _LOOKED_AT])
    return order[:_LOOKED_AT]


def van_der_corput(number: int) -> float:
    """Mirror the number's binary digits at the point: 1/2, 1/4, 3/4, 1/8, ..."""
    digits = f"{number:b}"[::-1]
    return int(digits, 2) / 2 ** len(digits)


def _coordinates(axes: Axes, codes: Codes, facts: Facts) -> NDArray[np.float64]:
    return np.concatenate(axes.blocks(codes, facts), axis=1)
