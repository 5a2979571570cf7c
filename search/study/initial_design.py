"""The candidates that open a study: the best allocations at several budgets by a profile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compress.sensitivity.document import ProfileDocument
from compress.values.knobs import Scalar
from search.allocation import knapsack
from search.allocation.allotment import Allotment, Allotter, Choices
from search.allocation.limits import Limits
from search.space import allocation_knobs, controls, grid, validation
from search.space.allocation_knobs import Allocation
from search.space.knobs import Knob
from search.space.problem import Problem

MOST_BUDGETS = 6
_WAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_STEPS = 25
"""Number of budgets tried to find the largest one with which every constraint may hold."""
Params = dict[str, Scalar]


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One way to spend a budget."""

    allotter: Allotter
    pruning: float = 1.0
    edges_8bit: bool = True

    def spend(self, budget: float) -> Allotment:
        """Return the allotment with the least damage within the budget, with full sharpness."""
        return self.allotter.allot(
            budget, pruning=self.pruning, sharpness=1.0, edges_8bit=self.edges_8bit
        )

    @property
    def nearly(self) -> _Way:
        """The same way, many times as fast and not always with the least damage."""
        return replace(self, allotter=replace(self.allotter, solve=knapsack.nearly))


Ways = Mapping[float, _Way]
"""The ways to spend a budget, by the share that is pruned or by the bits of all layers."""


def candidates(problem: Problem, *, count: int) -> list[Params]:
    """Return values of the turning knobs: the gentlest allocation at each of at most 6 budgets.

    The budgets lie between the least that can be reached and the widest bits without pruning. If
    constraints leave less of the baseline than that, the largest budget is the most with which all
    of them can hold; an unmeasured baseline limits nothing. If the job keeps the knobs of its
    fields, all layers have one width and the ratios differ by stage. Without a profile the list is
    empty.
    """
    spec, space, baseline = problem.spec, problem.space, problem.baseline
    if space.profile is None:
        return []
    limits = Limits()
    if baseline is not None:
        limits = Limits.of(
            spec.constraints,
            baseline,
            space.profile,
            scale_bits=_scale_bits(problem),
            counted=space.target.counted,
        )
    most = min(count, MOST_BUDGETS)
    if space.allocation is not None:
        return list(_through_knobs(space.knobs, space.allocation, limits, count=most))
    found = allocation_knobs.choices(spec, space.knobs)
    return list(_through_fields(space.knobs, found, space.profile, limits, count=most))


def _scale_bits(problem: Problem) -> int | None:
    """The most scale bits that a candidate may have; None if its file holds no scales."""
    spec, space = problem.spec, problem.space
    has_scales = space.target.counted.packs or allocation_knobs.multiplies_integers(space.knobs)
    if "quantization" not in spec.techniques or not has_scales:
        return None
    return max(int(bits) for bits in validation.values_of(space.knobs)("quantization.scale_bits"))


def _through_knobs(
    knobs: Sequence[Knob], allocation: Allocation, limits: Limits, *, count: int
) -> Iterator[Params]:
    allotter = allocation.allotter
    share_name = allocation_knobs.SHARES[allotter.choices.axis]
    edges_8bit = bool(controls.untouched(knobs).get("quantization.edges_8bit", True))
    ways = {way: _Way(allotter=allotter, pruning=way, edges_8bit=edges_8bit) for way in _WAYS}
    for budget in _budgets(allotter, ways, limits, count):
        way, _ = _gentlest(ways, budget, limits)
        yield _wished(
            knobs,
            {share_name: budget, allocation_knobs.PRUNING: way, allocation_knobs.SHARPNESS: 1.0},
        )


def _through_fields(
    knobs: Sequence[Knob],
    choices: Choices,
    profile: ProfileDocument,
    limits: Limits,
    *,
    count: int,
) -> Iterator[Params]:
    ways = {
        float(bits): _Way(
            allotter=Allotter(profile=profile, choices=replace(choices, bits=(bits,)))
        )
        for bits in choices.bits
    }
    for budget in _budgets(Allotter(profile=profile, choices=choices), ways, limits, count):
        bits, best = _gentlest(ways, budget, limits)
        wishes: Params = {allocation_knobs.BITS: int(bits)}
        wishes |= {
            f"{allocation_knobs.RATIOS}.{stage}": ratio for stage, ratio in enumerate(best.ratios)
        }
        yield _wished(knobs, wishes)


def _budgets(allotter: Allotter, ways: Ways, limits: Limits, count: int) -> list[float]:
    """Return shares between the least that can be reached and the most, evenly on a logarithm.

    The most is one of them if a constraint determines it.
    """
    high = allotter.choices.most
    low = min(allotter.least, high)
    top = min(high, limits.size if allotter.choices.axis == "bytes" else limits.macs)
    most = _most(ways, low, top, limits) if top >= low else high
    inside = np.geomspace(low, high, count + 2)[1:-1]
    chosen = inside if most >= high else np.geomspace(low, most, count + 1)[1:]
    return [float(share) for share in chosen]


def _most(ways: Ways, low: float, top: float, limits: Limits) -> float:
    """Return the largest budget up to ``top`` that some way spends within the limits.

    It is infinite if there is none: then the nearest candidate is wanted, which may be any.
    """
    quick = {name: way.nearly for name, way in ways.items()}
    for budget in np.geomspace(top, low, _STEPS):
        name, best = _gentlest(quick, float(budget), limits)
        if limits.hold(ways[name].allotter, best):
            return float(budget)
    return math.inf


def _gentlest(ways: Ways, budget: float, limits: Limits) -> tuple[float, Allotment]:
    """Return the way with the least damage within budget and limits, or within the budget.

    If no way keeps within the budget, return the one that leaves the smallest share.
    """
    found = {name: way.spend(budget) for name, way in ways.items()}
    fits = {name: each for name, each in found.items() if each.share <= budget * (1 + 1e-9)}
    held = {name: each for name, each in fits.items() if limits.hold(ways[name].allotter, each)}
    if kept := held or fits:
        return min(kept.items(), key=lambda item: (item[1].damage, item[0]))
    return min(found.items(), key=lambda item: (item[1].share, item[0]))


def _wished(knobs: Sequence[Knob], wishes: Mapping[str, Scalar]) -> Params:
    """Return a value for every turning knob: the wished one, or the one that changes least."""
    turning = {knob.name: knob for knob in knobs if knob.kind != "fixed"}
    wished = {name: wish for name, wish in wishes.items() if name in turning}
    snapped = {name: grid.snap(turning[name], wish) for name, wish in wished.items()}
    return {**controls.untouched(knobs), **snapped}
