"""The members of a job's network: what they cost, and whether they can share weights.

All of it is known before anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from compress.network.member import AS_IS, Shape
from compress.network.supernet.check import check
from compress.network.supernet.config import Elastic
from compress.techniques.family_member.config import FamilyMember
from compress.values.errors import InvalidCandidate
from search.errors import SupernetDoesNotFit
from search.space import feasibility, grid, validation
from search.space.knobs import Knob
from search.space.problem import Problem
from search.space.space import Space

MOST_CHECKPOINTS = 8
_MOST_VALUES = 100
_OF_A_REAL_RANGE = 9
"""Number of values of a real range at which members are trained; the others lie between."""
_SANDWICH = 2
"""Random members in a training step, next to the largest and the smallest."""
_DRAWN = 16
_SEED = 18


@dataclass(frozen=True, kw_only=True)
class EpochCosts:
    """The cost of an epoch in epochs of the baseline, by MACs, because speeds are not known.

    ``member`` is for the largest member, and ``supernet`` for all members together or, if they are
    cells, for an average cell. ``typical`` is for a candidate drawn at random from the space,
    compressed as it is; None means the same as ``member``.
    """

    member: float = 1.0
    supernet: float = 0.0
    typical: float | None = None


def elastic(space: Space) -> Elastic:
    """Return the values in which members of a space may differ while they share weights."""
    whole = space.outline.elastic
    if whole is None:
        return Elastic()
    found = {
        field: tuple(_values(space.knobs, name, most))
        for field, name, most in (
            ("widths", "width", 1.0),
            ("depths", "depth", whole.largest_depth),
            ("kernels", "kernel", whole.largest_kernel),
            ("expansions", "expansion", 1.0),
        )
        if name in whole.dimensions
    }
    return Elastic.model_validate({**found, "operations": validation.per_edge(space.knobs)})


def largest(elastic: Elastic) -> FamilyMember:
    """Return the step that takes the largest member of a supernet.

    Of a cell it takes the most costly operation of each edge: all operations of an edge together
    are not a member and never learn to answer together.
    """
    shape = _fullest(elastic)
    limits = {
        name: value
        for name in ("width", "depth", "kernel", "expansion", "cell")
        if (value := getattr(shape, name)) != AS_IS
    }
    return FamilyMember.model_validate({**limits, "weights": "supernet"})


def checkpoints(epochs: int) -> tuple[int, ...]:
    """Return the epochs after which weights are kept: at most 8, evenly spaced, with the last."""
    most = min(epochs, MOST_CHECKPOINTS)
    return tuple(math.ceil(epochs * number / most) for number in range(1, most + 1))


def check_training(problem: Problem) -> None:
    """Raise SupernetDoesNotFit if the job's supernet cannot be trained as asked."""
    training, whole, own = problem.spec.supernet, problem.outline.elastic, problem.own.elastic
    if training is None or not problem.spec.trains_supernet:
        return
    assert whole is not None  # a supernet asks for members, and no space is built without them
    if training.start == "baseline" and whole != own:
        kind = "network" if own is None else f"{own.family} network"
        raise SupernetDoesNotFit(
            f"supernet.start: the baseline is a {kind} of another architecture than the "
            "student, so its weights do not fit: start 'fresh', or leave student out"
        )
    try:
        check(elastic(problem.space), whole, epochs=training.epochs)
    except InvalidCandidate as error:
        raise SupernetDoesNotFit(f"supernet: {error}") from error


def costs(problem: Problem) -> EpochCosts:
    """Return what epochs of the job's members cost, in epochs of the baseline."""
    baseline, shapes = max(1, problem.own.macs), elastic(problem.space)

    def macs(shape: Shape) -> int:
        return problem.outline.member(shape).macs

    most = macs(_fullest(shapes))
    if not problem.spec.trains_supernet:
        return EpochCosts(member=most / baseline)
    if shapes.operations:
        step = fmean(macs(shape) for shape in _paths(shapes))
    else:
        least = macs(shapes.smallest)
        step = most + least + _SANDWICH * (most + least) / 2
    return EpochCosts(member=most / baseline, supernet=step / baseline)


def typical(problem: Problem) -> float | None:
    """Return the mean MACs of random candidates of the job, in MACs of its own model.

    Returns None if the space allocates by a profile that is not available yet.
    """
    space = problem.space
    if space.allocation is not None and space.profile is None:
        return None
    random = np.random.default_rng(_SEED)
    drawn = [
        space.candidate({knob.name: grid.draw(knob, random) for knob in space.turning})
        for _ in range(_DRAWN)
    ]
    bounds = (
        feasibility.candidate_bounds(problem.spec, candidate, problem.outline)
        for candidate in drawn
    )
    return fmean(each.macs for each in bounds) / max(1, problem.own.macs)


def check_seconds(problem: Problem, costs: EpochCosts, *, left: float | None) -> None:
    """Raise SupernetDoesNotFit if ``left`` seconds are not enough for one epoch of the supernet.

    Nothing is checked before the baseline's training speed is known, or without a limit.
    """
    baseline = problem.baseline
    speed = None if baseline is None else baseline.train_images_per_second
    if speed is None or left is None or costs.supernet == 0:
        return
    seconds = costs.supernet * problem.train_images / speed
    if seconds > left:
        raise SupernetDoesNotFit(
            f"supernet: one epoch takes about {seconds:.1f} s at the baseline's speed, and "
            f"{max(0.0, left):.1f} s of budget.seconds are left: raise it, leave supernet out, "
            "or give one that was trained before as its model, with 0 epochs"
        )


def _fullest(elastic: Elastic) -> Shape:
    """The largest member; operations of an edge are listed the most costly first."""
    return replace(elastic.largest, cell=tuple(names[0] for names in elastic.operations))


def _paths(elastic: Elastic) -> Iterator[Shape]:
    """Yield cells in which each operation of an edge is equally frequent, large and small ones."""
    for turn in range(max(map(len, elastic.operations))):
        cell = tuple(names[turn % len(names)] for names in elastic.operations)
        yield replace(elastic.largest, cell=cell)
        yield replace(elastic.smallest, cell=cell)


def _values(knobs: Sequence[Knob], field: str, most: float) -> list[Any]:
    """The values of a dimension in ascending order, limited to what the network has."""
    found: set[Any] = set()
    for knob in knobs:
        if knob.path == f"family_member.{field}":
            found |= {min(value, most) for value in _of(knob)}
    return sorted(found) or [most]


def _of(knob: Knob) -> list[Any]:
    if not math.isfinite(grid.size(knob)):
        low, high = grid.bounds(knob)
        steps = _OF_A_REAL_RANGE - 1
        return [grid.clean(low + (high - low) * step / steps) for step in range(steps + 1)]
    every = sorted(validation.values(knob))
    if len(every) <= _MOST_VALUES:
        return every
    last = _MOST_VALUES - 1
    return [every[round(number * (len(every) - 1) / last)] for number in range(last + 1)]
