"""Expected hypervolume improvement of independent objectives, some of which are certain.

The region below a reference that no point of a front dominates is cut into boxes. A point ``y``
adds the sum over boxes of ``prod_d (u_d - max(l_d, y_d))+``. Since the objectives are independent,
the expectation moves inside the product, where it is ``e_d(u_d) - e_d(l_d)`` with ``e_d(t) =
E[(t - Y_d)+]``. That is the expected improvement below ``t`` if ``Y_d`` is normal, and ``(t -
y_d)+`` if it is known. So one formula serves any number of known costs.

Emmerich, Giannakoglou and Naujoks, IEEE TEVC 10(4), 2006 (the criterion); Couckuyt, Deschrijver and
Dhaene, J. Global Optimization 60, 2014, and Yang et al., Swarm and Evolutionary Computation 44,
2019 (exact by boxes). ``e_d`` is computed once per distinct coordinate, not once per box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.front import pareto

Array = NDArray[np.float64]
_LOWEST = -np.inf
_FAR = -40.0
"""Deviations below the mean at which the improvement is 0 in double precision."""
_MOST_POINTS = {1: 1, 2: 100, 3: 40}
"""Most points of a front that are used, by the number of objectives."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One objective at N points: its mean and deviation; without a deviation it is certain."""

    mean: Array
    deviation: Array | None = None

    def below(self, bounds: Sequence[float]) -> Array:
        """Return ``E[(t - Y)+]`` for each point and each bound ``t``, as ``(N, bounds)``."""
        gap = np.asarray(bounds, dtype=float)[None, :] - self.mean[:, None]
        if self.deviation is None:
            return np.maximum(gap, 0.0)
        from scipy.special import ndtr

        deviation = self.deviation[:, None]
        with np.errstate(over="ignore"):
            z = np.maximum(gap / deviation, _FAR)
            return deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def expected(guesses: Sequence[Guess], front: Array, reference: Array) -> Array:
    """Return the expected improvement of the hypervolume by each point, ``(N,)``.

    Args:
        guesses: One per objective, 1 to 3, all minimised.
        front: ``(points, objectives)``; may be empty, and hold dominated points.
        reference: ``(objectives,)``; points of the front beyond it do not count.
    """
    inside = front[(front < reference).all(axis=1)]
    kept = _thinned(inside[pareto.front_indices(inside.tolist())], _MOST_POINTS[len(guesses)])
    match len(guesses):
        case 1:
            return guesses[0].below([kept[0, 0] if len(kept) else reference[0]])[:, 0]
        case 2:
            return _plane(guesses, kept, reference)
        case _:
            return _slabs(guesses, kept, reference)


def _plane(guesses: Sequence[Guess], front: Array, reference: Array) -> Array:
    """Two objectives: one box per gap between neighbours on the front."""
    front = front[np.argsort(front[:, 0], kind="stable")]
    across = guesses[0].below([_LOWEST, *front[:, 0], reference[0]])
    under = guesses[1].below([reference[1], *front[:, 1]])
    return np.einsum("nb,nb->n", np.diff(across, axis=1), under)


def _slabs(guesses: Sequence[Guess], front: Array, reference: Array) -> Array:
    """Three objectives: slabs between neighbours in the third, each with the front below it."""
    front = front[np.argsort(front[:, 2], kind="stable")]
    first = guesses[0].below([_LOWEST, *front[:, 0], reference[0]])
    second = guesses[1].below([*front[:, 1], reference[1]])
    third = np.diff(guesses[2].below([_LOWEST, *front[:, 2], reference[2]]), axis=1)
    total = np.zeros(len(third))
    for slab in range(len(front) + 1):
        stairs = _stairs(front[:slab, :2])
        edges = [0, *(stairs + 1), len(front) + 1]
        widths = np.diff(first[:, edges], axis=1)
        heights = second[:, [len(front), *stairs]]
        total += third[:, slab] * np.einsum("nb,nb->n", widths, heights)
    return total


def _stairs(points: Array) -> NDArray[np.intp]:
    """Indices of the non-dominated points, the first coordinate ascending."""
    kept = np.array(pareto.front_indices(points.tolist()), dtype=int)
    return kept[np.argsort(points[kept, 0], kind="stable")]


def _thinned(points: Array, most: int) -> Array:
    """Limit the points, always taking the one that is farthest from those already taken."""
    if len(points) <= most:
        return points
    unit = pareto.unit(points.tolist())
    taken = [int(np.argmin(unit[:, 0]))]
    away = np.full(len(points), np.inf)
    while len(taken) < most:
        away = np.minimum(away, ((unit - unit[taken[-1]]) ** 2).sum(axis=1))
        taken.append(int(np.argmax(away)))
    return points[taken]
