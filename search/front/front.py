"""The front of a job's files, its hypervolume, the file to recommend, and the finalists.

A latency that was measured on a busy machine is only known within bounds. It counts at its slowest
against other files and at its fastest for its own. So it removes no file from the front that it
does not surely dominate, and it makes no file the best.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective
from search.front import comparison, pareto

Key = TypeVar("Key", bound=Hashable)
DECADES = 3.0
"""A cost that is this many decades below the baseline's is ideal in the hypervolume."""
_WORTHLESS = 4.0
"""So many times the baseline's error is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class FrontCandidate(Generic[Key]):
    """One measured file; ``key`` identifies it for the caller."""

    key: Key
    measurement: Measurement
    violation: float


@dataclass(frozen=True, kw_only=True)
class Selection(Generic[Key]):
    """The front in ascending order of size, or the nearest file if nothing is feasible."""

    front: list[Key]
    nearest: Key | None
    blocked_by: str | None
    hypervolume: float


def select(
    points: Sequence[FrontCandidate[Key]],
    *,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Measurement | None,
) -> Selection[Key]:
    """Select the feasible points that no feasible point surely dominates; the first of equal ones.

    If there are points and none is feasible, ``nearest`` is the one with the smallest violation
    (then the fewest bytes), and ``blocked_by`` is the constraint that it violates most.
    """
    front = _front(points, objectives)
    if points and not front:
        nearest = _nearest(points)
        return Selection(
            front=[],
            nearest=nearest.key,
            blocked_by=_blocked_by(nearest.measurement, constraints, baseline),
            hypervolume=0.0,
        )
    volume = hypervolume(
        [point.measurement for point in front], objectives=objectives, baseline=baseline
    )
    return Selection(
        front=[point.key for point in front], nearest=None, blocked_by=None, hypervolume=volume
    )


def hypervolume(
    measurements: Sequence[Measurement],
    *,
    objectives: Sequence[Objective],
    baseline: Measurement | None,
) -> float:
    """Return the share of a fixed box that the measurements dominate; 0 without a baseline.

    The box has one axis per objective, from ideal 0 to reference 1. On the axis of accuracy, or of
    another share, the error ``1 - a`` is divided by ``1 - a_baseline / 2``, so losing half of the
    baseline's accuracy is worth nothing. The axis of a cost is logarithmic, from a thousandth of
    the baseline's cost to all of it. The box depends on the baseline alone, so adding a point never
    makes the volume smaller, and jobs can be compared. A doubtful latency counts at its slowest.
    """
    if baseline is None:
        return 0.0
    points = [on_axes(one.at_worst(), objectives, baseline) for one in measurements]
    return pareto.hypervolume(points, (1.0,) * len(objectives))


def recommend(
    points: Sequence[FrontCandidate[Key]],
    *,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Measurement | None,
) -> tuple[Key | None, str]:
    """Recommend one file, and say why.

    If a constraint is a floor on accuracy or on another quality of the answers, it is the smallest
    feasible file. If constraints limit costs only, it is the feasible file that is best in the
    first quality among the objectives, or in accuracy if they name none. Without constraints it is
    the knee of the front (accuracy linear, costs on a logarithmic scale). If nothing is feasible,
    it is the nearest file. A file whose doubtful latency may violate a constraint is recommended
    only if there is no other.
    """
    if not points:
        return None, "nothing has been measured yet"
    selection = select(points, objectives=objectives, constraints=constraints, baseline=baseline)
    if selection.nearest is not None:
        return selection.nearest, f"nothing is feasible; nearest, blocked by {selection.blocked_by}"
    feasible = _surest(points, constraints, baseline)
    quality = comparison.quality(objectives)
    if any(METRICS[c.metric].is_quality and c.comparison == "at_least" for c in constraints):
        return _smallest(feasible, quality).key, "the smallest file that meets every constraint"
    if constraints:
        most = "most accurate file" if quality == "accuracy" else f"file with the best {quality}"
        return _best(feasible, quality).key, f"the {most} that meets every constraint"
    return _knee(_front(points, objectives), objectives, baseline).key, "the knee of the front"


def finalists(
    points: Sequence[FrontCandidate[Key]],
    *,
    count: int,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Measurement | None,
) -> list[Key]:
    """Return up to ``count`` different keys worth retraining; several points may share a key.

    The recommended one comes first, then always the key on the front whose points add most
    hypervolume to those already taken (the smaller file among equals). If nothing is feasible, they
    are the nearest keys.
    """
    recommended, _ = recommend(
        points, objectives=objectives, constraints=constraints, baseline=baseline
    )
    if recommended is None:
        return []
    front = _front(points, objectives)
    if not front:
        return list(dict.fromkeys(point.key for point in _by_violation(points)))[:count]
    chosen = [recommended]
    while len(chosen) < count and (rest := [p for p in front if p.key not in chosen]):
        chosen.append(_adds_most(front, chosen, rest, objectives, baseline))
    return chosen[:count]


def _adds_most(
    front: Sequence[FrontCandidate[Key]],
    chosen: Sequence[Key],
    rest: Sequence[FrontCandidate[Key]],
    objectives: Sequence[Objective],
    baseline: Measurement | None,
) -> Key:
    def gain(key: Key) -> float:
        taken = [point.measurement for point in front if point.key in (*chosen, key)]
        return round(hypervolume(taken, objectives=objectives, baseline=baseline), 12)

    return max(rest, key=lambda point: gain(point.key)).key


def _front(
    points: Sequence[FrontCandidate[Key]], objectives: Sequence[Objective]
) -> list[FrontCandidate[Key]]:
    feasible = [point for point in points if point.violation <= 0]
    worst = [comparison.vector(point.measurement.at_worst(), objectives) for point in feasible]
    best = [comparison.vector(point.measurement.at_best(), objectives) for point in feasible]
    front = [feasible[index] for index in pareto.possible_front(worst, best)]
    return sorted(front, key=lambda point: point.measurement.size_bytes)


def _surest(
    points: Sequence[FrontCandidate[Key]],
    constraints: Sequence[Constraint],
    baseline: Measurement | None,
) -> list[FrontCandidate[Key]]:
    """The feasible points except those whose doubtful latency may violate a constraint.

    If that leaves none, all feasible points.
    """
    feasible = [point for point in points if point.violation <= 0]
    sure = [
        point
        for point in feasible
        if not point.measurement.latency.busy
        or comparison.violation(point.measurement.at_worst(), constraints, baseline) <= 0
    ]
    return sure or feasible


def on_axes(
    measurement: Measurement, objectives: Sequence[Objective], baseline: Measurement
) -> tuple[float, ...]:
    """Return the place in the hypervolume's box: per objective, 0 is ideal and 1 worthless."""
    return tuple(_axis(measurement, objective, baseline) for objective in objectives)


def _axis(measurement: Measurement, objective: Objective, baseline: Measurement) -> float:
    value, start = measurement.value(objective.metric), baseline.value(objective.metric)
    info = METRICS[objective.metric]
    if info.is_bounded:
        return (1.0 - info.as_share(value)) / (1.0 - info.as_share(start) / 2)
    if info.is_quality:
        return value / (_WORTHLESS * start or 1.0)
    return max(0.0, 1.0 + math.log10(value / start) / DECADES)


def _knee(
    front: Sequence[FrontCandidate[Key]],
    objectives: Sequence[Objective],
    baseline: Measurement | None,
) -> FrontCandidate[Key]:
    """Return the knee of the points inside the hypervolume's box, or of all if none is inside.

    Of two files, which are both extremes, the one that is nearer to the ideal along the box.
    """
    anchor = baseline or max((p.measurement for p in front), key=lambda m: m.size_bytes)
    axes = [on_axes(point.measurement.at_worst(), objectives, anchor) for point in front]
    inside = [index for index, axis in enumerate(axes) if max(axis) <= 1.0]
    kept = inside or list(range(len(front)))
    points = [axes[index] for index in kept]
    distances = [round(sum(point), 12) for point in points]
    return front[kept[pareto.knee(points, distances=distances)]]


def _smallest(points: Sequence[FrontCandidate[Key]], quality: Metric) -> FrontCandidate[Key]:
    return min(points, key=lambda p: (p.measurement.size_bytes, _badness(p, quality)))


def _best(points: Sequence[FrontCandidate[Key]], quality: Metric) -> FrontCandidate[Key]:
    return min(points, key=lambda p: (_badness(p, quality), p.measurement.size_bytes))


def _badness(point: FrontCandidate[Key], quality: Metric) -> float:
    (value,) = comparison.vector(point.measurement, [comparison.objective(quality)])
    return value


def _nearest(points: Sequence[FrontCandidate[Key]]) -> FrontCandidate[Key]:
    return _by_violation(points)[0]


def _by_violation(points: Sequence[FrontCandidate[Key]]) -> list[FrontCandidate[Key]]:
    return sorted(points, key=lambda point: (point.violation, point.measurement.size_bytes))


def _blocked_by(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> str | None:
    amounts = comparison.violations(measurement, constraints, baseline)
    return max(amounts, key=lambda label: amounts[label], default=None)
