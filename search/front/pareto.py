"""Dominance between points to be minimised: ranks, front, hypervolume, knee.

Everything is exact for one to three objectives. Fewer than three are padded with a constant, which
does not change dominance, nor the volume if the reference is 1 above it. So there is a single
algorithm: a sweep over the points in lexicographic order, which keeps the staircase of the
remaining two objectives per front. In this order only an earlier point can dominate a later one.

Non-dominated sorting after Zhang et al., An Efficient Approach to Nondominated Sorting (ENS-BS),
IEEE TEVC 19(2), 2015; constraint domination after Deb et al., NSGA-II, IEEE TEVC 6(2), 2002;
hypervolume by dimension sweep after Fonseca et al., CEC 2006. All take O(n log n) comparisons.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = Sequence[float]
MOST_OBJECTIVES = 3


class Staircase:
    """Mutually non-dominated points of the plane, with x ascending and y descending.

    ``area`` is the area that they dominate below ``reference``.
    """

    def __init__(self, reference: tuple[float, float] = (float("inf"), float("inf"))) -> None:
        self._reference = reference
        self._x: list[float] = []
        self._y: list[float] = []
        self.area = 0.0

    def covers(self, x: float, y: float) -> bool:
        """Return whether some point is at most ``(x, y)`` in both coordinates."""
        position = bisect_right(self._x, x)
        return position > 0 and self._y[position - 1] <= y

    def add(self, x: float, y: float) -> None:
        """Add a point and drop those that it covers; do nothing if it is covered itself."""
        if self.covers(x, y):
            return
        start = bisect_left(self._x, x)
        end = start
        while end < len(self._x) and self._y[end] >= y:
            end += 1
        self.area += self._gain(x, y, start, end)
        self._x[start:end] = [x]
        self._y[start:end] = [y]

    def _gain(self, x: float, y: float, start: int, end: int) -> float:
        if self._reference[0] == float("inf"):
            return 0.0
        top = self._y[start - 1] if start else self._reference[1]
        gain, left = 0.0, x
        for position in range(start, end):
            gain += (self._x[position] - left) * (top - y)
            left, top = self._x[position], self._y[position]
        right = self._x[end] if end < len(self._x) else self._reference[0]
        return gain + (right - left) * (top - y)


def ranks(points: Sequence[Point], violations: Sequence[float]) -> list[int]:
    """Return the non-dominated rank of each point, from 0, with constraints first.

    Feasible points (violation at most 0) are ranked among themselves; after the last of them come
    the infeasible ones by violation, equal violations sharing a rank. Equal points share a rank.
    """
    feasible = [index for index, violation in enumerate(violations) if violation <= 0]
    result = [0] * len(points)
    for index, rank in zip(feasible, _sort([points[i] for i in feasible]), strict=True):
        result[index] = rank
    below = max((result[index] for index in feasible), default=-1) + 1
    worse = sorted({violation for violation in violations if violation > 0})
    place = {violation: below + position for position, violation in enumerate(worse)}
    for index, violation in enumerate(violations):
        if violation > 0:
            result[index] = place[violation]
    return result


def front_indices(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that none dominates; only the first of equal points."""
    if not points:
        return []
    padded = _padded(points)
    _, first = np.unique(padded, axis=0, return_index=True)
    staircase = Staircase()
    kept: list[int] = []
    for index in first:
        _, x, y = padded[index].tolist()
        if not staircase.covers(x, y):
            staircase.add(x, y)
            kept.append(int(index))
    return sorted(kept)


def possible_front(worst: Sequence[Point], best: Sequence[Point]) -> list[int]:
    """Return the indices of the points, known only within bounds, that none surely dominates.

    A point dominates another surely if its ``worst`` dominates or equals the other's ``best``.
    If both are the same for all points, these are ``front_indices``.
    """
    sure = front_indices(worst)
    doubtful = [i for i in range(len(worst)) if tuple(worst[i]) != tuple(best[i])]
    return sorted({*sure, *(i for i in doubtful if not _covered(best[i], worst, sure))})


def _covered(point: Point, points: Sequence[Point], indices: Sequence[int]) -> bool:
    return any(all(a <= b for a, b in zip(points[k], point, strict=True)) for k in indices)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the volume that the points dominate below ``reference``; points beyond it add none."""
    if not points:
        return 0.0
    corner = [*reference, *([1.0] * (MOST_OBJECTIVES - len(reference)))]
    inside = [row for row in _padded(points).tolist() if all(map(float.__lt__, row, corner))]
    staircase = Staircase((corner[1], corner[2]))
    volume, previous = 0.0, 0.0
    for z, x, y in sorted(inside):
        volume += (z - previous) * staircase.area
        staircase.add(x, y)
        previous = z
    return volume + (corner[0] - previous) * staircase.area if inside else 0.0


def contributions(points: Sequence[Point], reference: Point) -> list[float]:
    """Return the volume that each point alone dominates below ``reference``; 0 for equal points.

    What a point ``p`` alone dominates lies in a box from ``p`` to a corner. Each coordinate of the
    corner is that of the nearest point that is at most ``p`` in all others. Only points inside the
    box can reduce the volume further, and they are few (bounding boxes of Bringmann and Friedrich,
    EMO 2009). It takes O(n^2) vectorised comparisons.
    """
    if not points:
        return []
    values = _padded(points)
    corner = np.array([*reference, *([1.0] * (MOST_OBJECTIVES - len(reference)))])
    return [_alone(values, index, corner) for index in range(len(values))]


def _alone(values: NDArray[np.float64], index: int, reference: NDArray[np.float64]) -> float:
    point, others = values[index], np.delete(values, index, axis=0)
    below = others <= point
    if np.any(point >= reference) or np.any(below.all(axis=1)):
        return 0.0
    corner = reference.copy()
    for axis in range(MOST_OBJECTIVES):
        bounding = others[np.delete(below, axis, axis=1).all(axis=1), axis]
        corner[axis] = min(corner[axis], bounding.min(initial=np.inf))
    near = np.maximum(others[(others < corner).all(axis=1)], point)
    return float(np.prod(corner - point)) - _volume_above(near, point, corner)


def _volume_above(
    near: NDArray[np.float64], point: NDArray[np.float64], corner: NDArray[np.float64]
) -> float:
    if not len(near):
        return 0.0
    return hypervolume((near - point).tolist(), (corner - point).tolist())


def crowding(points: Sequence[Point]) -> list[float]:
    """Return how far each point's neighbours are apart, summed over the axes; infinite at ends.

    Each axis is scaled to 0..1 over the points (Deb et al., NSGA-II, IEEE TEVC 6(2), 2002). Equal
    points share the distance of a single one, so the order of the points does not matter.
    """
    distinct, inverse = np.unique(np.asarray(points, dtype=float), axis=0, return_inverse=True)
    scaled = unit(distinct.tolist())
    total = np.zeros(len(distinct))
    for axis in scaled.T:
        order = np.argsort(axis, kind="stable")
        total[order[[0, -1]]] = np.inf
        total[order[1:-1]] += axis[order[2:]] - axis[order[:-2]]
    return [float(total[index]) for index in inverse.reshape(-1)]


def knee(points: Sequence[Point], *, distances: Sequence[float] | None = None) -> int:
    """Return the index of the point that is farthest below the plane through the extremes.

    Each objective is scaled to 0..1 over the given points. On that scale the sum of the coordinates
    is constant on the plane through the extremes, so the knee has the smallest sum (Das, Structural
    Optimization 18, 1999). Of equals, as two points always are, the one with the smallest of
    ``distances`` is taken, and then the lexicographically smallest.

    Raises ValueError for no points.
    """
    if not points:
        raise ValueError("no points, no knee")
    sums = np.round(unit(points).sum(axis=1), 12)
    far = distances or [0.0] * len(points)
    return min(range(len(points)), key=lambda at: (sums[at], far[at], tuple(points[at])))


def unit(points: Sequence[Point]) -> NDArray[np.float64]:
    """Scale every objective to 0..1 over the points; one that is the same for all becomes 0."""
    values = np.asarray(points, dtype=float)
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return (values - low) / span


def _sort(points: Sequence[Point]) -> list[int]:
    if not points:
        return []
    rows = [tuple(row) for row in _padded(points).tolist()]
    fronts: list[Staircase] = []
    rank: dict[tuple[float, ...], int] = {}
    for row in sorted(set(rows)):
        _, x, y = row
        place = bisect_left(fronts, True, key=lambda front, x=x, y=y: not front.covers(x, y))
        if place == len(fronts):
            fronts.append(Staircase())
        fronts[place].add(x, y)
        rank[row] = place
    return [rank[row] for row in rows]


def _padded(points: Sequence[Point]) -> NDArray[np.float64]:
    values = np.asarray(points, dtype=float)
    missing = MOST_OBJECTIVES - values.shape[1]
    if missing < 0:
        raise ValueError(f"at most {MOST_OBJECTIVES} objectives, got {values.shape[1]}")
    padding = np.zeros((len(values), missing))
    return np.concatenate([values, padding], axis=1)
