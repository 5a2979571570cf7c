"""The multiple-choice knapsack problem: one option per part, least damage, within a limit.

    minimise  sum_i sum_j d_ij x_ij   with  sum_j x_ij = 1,  sum_ij c_ij x_ij <= limit,  x binary

HAWQ-V3 (Yao et al., arXiv:2011.10680, section 3.3) chooses bits in the same way, by integer
programming. HiGHS solves it to optimality through ``scipy.optimize.milp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from search.errors import SearchError

_SCALE = 1e4
"""Scales damages so that those that matter are far above the solver's absolute tolerances."""
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Option:
    """One choice for a part, with its cost and its damage."""

    value: float
    cost: float
    damage: float


def solve(parts: Sequence[Sequence[Option]], limit: float) -> tuple[Option, ...]:
    """Choose one option of each part with the least total damage at a total cost up to ``limit``.

    If nothing is within the limit, the cheapest option of each part is chosen. Of equal damages the
    cheaper one is.
    """
    cheapest = tuple(min(options, key=lambda o: (o.cost, o.damage)) for options in parts)
    gentlest = tuple(min(options, key=lambda o: (o.damage, o.cost)) for options in parts)
    if _cost(gentlest) <= limit * (1 + _SLACK):
        return gentlest
    if _cost(cheapest) >= limit * (1 - _SLACK):
        return cheapest
    return _milp(parts, limit)


def nearly(parts: Sequence[Sequence[Option]], limit: float) -> tuple[Option, ...]:
    """Choose nearly the same options many times as fast, greedily from the cheapest.

    The step that removes most damage for its cost comes first. Up to the first step that does not
    fit this is the solution of the relaxed problem, so at most one step is missing (Sinha and
    Zoltners, The multiple-choice knapsack problem, Operations Research 27(3), 1979).
    """
    hulls = [_hull(options) for options in parts]
    chosen, left = [hull[0] for hull in hulls], limit - _cost([hull[0] for hull in hulls])
    steps = [(part, *pair) for part, hull in enumerate(hulls) for pair in pairwise(hull)]
    for part, before, after in sorted(steps, key=lambda step: _slope(*step[1:])):
        price = after.cost - before.cost
        if chosen[part] is before and price <= left + _SLACK * abs(limit):
            chosen[part], left = after, left - price
    return tuple(chosen)


def _hull(options: Sequence[Option]) -> list[Option]:
    """The lower convex hull of damage over cost, from the cheapest to the gentlest."""
    hull: list[Option] = []
    for option in sorted(options, key=lambda o: (o.cost, o.damage)):
        if hull and option.damage >= hull[-1].damage:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], option):
            hull.pop()
        hull.append(option)
    return hull


def _slope(before: Option, after: Option) -> float:
    """Damage per cost; negative if the step removes damage."""
    return (after.damage - before.damage) / max(after.cost - before.cost, _SLACK)


def _cost(chosen: Sequence[Option]) -> float:
    return sum(option.cost for option in chosen)


def _milp(parts: Sequence[Sequence[Option]], limit: float) -> tuple[Option, ...]:
    # Half a second of imports that the service, which only builds spaces, goes without.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    flat = [option for options in parts for option in options]
    owners = [part for part, options in enumerate(parts) for _ in options]
    places = np.arange(len(flat))
    shape = (len(parts), len(flat))
    choose = csr_array((np.ones(len(flat)), (owners, places)), shape=shape)
    costs = np.array([[option.cost / limit for option in flat]])
    damages = np.array([option.damage for option in flat])
    found = milp(
        damages * (_SCALE / max(damages.max(), np.finfo(np.float64).tiny)),
        integrality=np.ones(len(flat)),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(choose, 1, 1), LinearConstraint(costs, -np.inf, 1)],
        # With its presolve HiGHS often writes to the standard output, where it mends a solution.
        options={"mip_rel_gap": 0.0, "presolve": False},
    )
    if found.x is None:
        raise SearchError(f"the allocation could not be solved: {found.message}")
    chosen = [option for option, taken in zip(flat, found.x, strict=True) if taken > 0.5]
    return tuple(chosen)
