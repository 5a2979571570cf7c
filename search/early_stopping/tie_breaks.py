"""Order equally ranked trials if only some of them may climb.

In both orders the newcomer is the first point and loses every tie, and the order of the others does
not matter. They are compared in ``docs/decisions/search/0008-ties-at-a-rung.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.front import pareto

_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Place:
    """The newcomer's place, from 0; the number of places if it has none.

    ``value`` is the number by which it was ordered.
    """

    place: int
    value: float


def by_net(points: Sequence[pareto.Point], places: int) -> Place:
    """Take the knee first, then always the point farthest from those taken (epsilon-net).

    Salinas et al., arXiv:2106.05680. Each axis is scaled to 0..1 over the points. ``value`` is the
    newcomer's distance to the nearest point taken before it: 0 for the knee itself.
    """
    order = sorted(range(len(points)), key=lambda index: (tuple(points[index]), index == 0))
    newcomer = order.index(0)
    points = [points[index] for index in order]
    scaled = pareto.unit(points)
    nearest = np.full(len(points), np.inf)
    taken, reach = pareto.knee(points), 0.0
    for place in range(places):
        if taken == newcomer:
            return Place(place=place, value=reach)
        away = np.linalg.norm(scaled - scaled[taken], axis=1)
        nearest = np.round(np.minimum(nearest, away), _DIGITS)
        nearest[taken] = -np.inf
        taken = int(nearest.argmax())
        reach = float(nearest[taken])
    return Place(place=places, value=float(nearest[newcomer]))


def by_hypervolume(
    points: Sequence[pareto.Point], axes: Sequence[pareto.Point], places: int
) -> Place:
    """Take the points in the order of the hypervolume that each alone adds, the largest first.

    ``axes`` are the points in the hypervolume's box (``search.front.front.on_axes``). Ties, such as
    those of points outside the box, go to the less crowded, then to the lexicographically
    smallest. ``value`` is the newcomer's own share of the box.
    """
    alone = np.round(pareto.contributions(axes, (1.0,) * len(axes[0])), _DIGITS)
    crowding = np.round(pareto.crowding(points), _DIGITS)
    keys = [
        (-alone[index], -crowding[index], tuple(point), index == 0)
        for index, point in enumerate(points)
    ]
    ahead = sum(key < keys[0] for key in keys)
    return Place(place=min(ahead, places), value=float(alone[0]))
