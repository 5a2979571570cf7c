"""Candidates that open a study: what a profile says is best at several budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from compress.knobs import Scalar
from compress.profile.document import ProfileDocument
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import KnobSchema
from search import controls, grid
from search.allocation import knobs as own
from search.allocation.allotment import FLOAT_BITS, Allotment, Allotter, Choices
from search.allocation.knobs import Allocation
from search.space import Space

MOST_BUDGETS = 6
_WAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
Params = dict[str, Scalar]
Key = TypeVar("Key", int, float)


def candidates(spec: JobSpec, space: Space, *, count: int) -> list[Params]:
    """Values of the turning knobs, the gentlest allotment at each of at most 6 budgets.

    The budgets lie between the least that can be reached and the widest bits without pruning. Where
    the job keeps the knobs of its fields, all layers have one width, and ratios differ by stage.
    Without a profile there are none.
    """
    if space.profile is None:
        return []
    if space.allocation is not None:
        return list(_through_knobs(space.knobs, space.allocation, count=min(count, MOST_BUDGETS)))
    found = own.choices(spec, space.knobs)
    return list(_through_fields(space.knobs, found, space.profile, count=min(count, MOST_BUDGETS)))


def _through_knobs(
    knobs: Sequence[KnobSchema], allocation: Allocation, *, count: int
) -> Iterator[Params]:
    allotter = allocation.allotter
    share_name = own.SHARES[allotter.choices.axis]
    edges_8bit = bool(controls.untouched(knobs).get("quantization.edges_8bit", True))
    for budget in _budgets(allotter, count):
        tried = {
            way: allotter.allot(budget, pruning=way, sharpness=1.0, edges_8bit=edges_8bit)
            for way in _WAYS
        }
        way, _ = _gentlest(budget, tried)
        yield _wished(knobs, {share_name: budget, own.PRUNING: way, own.SHARPNESS: 1.0})


def _through_fields(
    knobs: Sequence[KnobSchema], choices: Choices, profile: ProfileDocument, *, count: int
) -> Iterator[Params]:
    allotters = {
        bits: Allotter(profile=profile, choices=replace(choices, bits=(bits,)))
        for bits in choices.bits
    }
    for budget in _budgets(Allotter(profile=profile, choices=choices), count):
        tried = {
            bits: each.allot(budget, pruning=1.0, sharpness=1.0) for bits, each in allotters.items()
        }
        bits, best = _gentlest(budget, tried)
        wishes: Params = {own.BITS: bits}
        wishes |= {f"{own.RATIOS}.{stage}": ratio for stage, ratio in enumerate(best.ratios)}
        yield _wished(knobs, wishes)


def _budgets(allotter: Allotter, count: int) -> list[float]:
    """Shares between the least that can be reached and the widest bits, evenly on a logarithm."""
    high = allotter.choices.bits[-1] / FLOAT_BITS if allotter.choices.axis == "bytes" else 1.0
    low = min(allotter.least, high)
    return [float(share) for share in np.geomspace(low, high, count + 2)[1:-1]]


def _gentlest(budget: float, found: Mapping[Key, Allotment]) -> tuple[Key, Allotment]:
    """Of those within the budget the least damage; of none the smallest."""
    fits = {key: each for key, each in found.items() if each.share <= budget * (1 + 1e-9)}
    if fits:
        return min(fits.items(), key=lambda item: (item[1].damage, item[0]))
    return min(found.items(), key=lambda item: (item[1].share, item[0]))


def _wished(knobs: Sequence[KnobSchema], wishes: Mapping[str, Scalar]) -> Params:
    """A value for every knob that turns: as wished, else the one that does least."""
    turning = {knob.name: knob for knob in knobs if knob.kind != "fixed"}
    wished = {name: wish for name, wish in wishes.items() if name in turning}
    snapped = {name: grid.snap(turning[name], wish) for name, wish in wished.items()}
    return {**controls.untouched(knobs), **snapped}
