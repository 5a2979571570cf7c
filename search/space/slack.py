"""Warn of constraints that exclude nothing, and suggest what was probably meant.

A bound that every candidate meets is not an error, but the job would end with other files than
were wanted: ``accuracy >= baseline - 1`` allows 100 points, because accuracy is a share from 0 to
1. Every warning is certain, unless a file came out larger than the network it began with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from compress.techniques.registry import TECHNIQUES
from compress.values.measurement import FIRST_PRIMARY, METRICS, QUALITY, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec
from search.errors import InfeasibleConstraint
from search.space import feasibility, validation
from search.space.bounds import gap, is_bound, shown
from search.space.problem import Problem
from search.space.space import Space

EVENT = "spec.warning"
_STRUCTURE = frozenset(each.name for each in TECHNIQUES if each.costs.changes_layers)
_CHANGE: dict[Metric, frozenset[str]] = {
    "parameters": _STRUCTURE,
    "macs": _STRUCTURE | {each.name for each in TECHNIQUES if each.costs.changes_runs},
}
"""Techniques without which a metric is the same for all candidates."""
_PERCENT = 100.0
_MOST_POINTS = 50.0
_LARGE = 0.25
"""A loss of accuracy that nobody would allow on purpose."""
_SLOWEST_MACS_PER_MS, _LONGEST_START_MS = 1e3, 60_000.0
"""No network on any device is slower than that."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the candidates of a job before they are measured, and of its baseline.

    ``highest`` holds values that no candidate exceeds, ``times`` the largest multiple of the
    baseline's value that a candidate may have; metrics without a known limit are left out.
    ``guessing`` is the accuracy of always answering the most frequent class of the validation
    images. ``num_classes`` counts the classes of the dataset, None if it has
    no classes.
    """

    highest: Mapping[Metric, float]
    times: Mapping[Metric, float]
    guessing: float
    num_classes: int | None
    baseline: Measurement | None = None

    @classmethod
    def of(cls, problem: Problem) -> Known:
        """Collect what is known of a job, with its baseline if that is measured."""
        highest = feasibility.highest(problem.space.concrete, problem.outline)
        if "macs" in highest:
            highest["latency_ms"] = _LONGEST_START_MS + highest["macs"] / _SLOWEST_MACS_PER_MS
        counts = problem.dataset.class_counts.get("validation", ())
        return cls(
            highest=highest,
            times={} if problem.spec.student is not None else _times(problem.space),
            guessing=max(counts) / sum(counts) if sum(counts) else 0.0,
            num_classes=problem.dataset.num_classes if counts else None,
            baseline=problem.baseline,
        )


def _times(space: Space) -> dict[Metric, float]:
    """Return, by metric, the largest multiple of the baseline's value that a candidate may have."""
    values = validation.values_of(space.knobs)
    runs = float(feasibility.most_runs(values))
    once: tuple[Metric, ...] = ("size_bytes", "download_bytes", "parameters")
    found: dict[Metric, float] = dict.fromkeys(once, 1.0)
    if feasibility.largest_side(values) == 0:
        found |= {"macs": runs, "latency_ms": runs, "peak_memory_bytes": runs}
    return found


def cautions(problem: Problem) -> tuple[str, ...]:
    """Return warnings about a job's bounds: those that nothing can meet, then ``warnings``.

    Then which knobs the job's target has fixed.

    A new job with a bound that nothing can meet is refused. If only the measured baseline shows
    it, the job exists already and gets a warning.
    """
    of_bounds = warnings(problem.spec, Known.of(problem))
    return (*_impossible(problem), *of_bounds, *problem.space.idle)


def _impossible(problem: Problem) -> Iterator[str]:
    try:
        feasibility.check(problem)
    except InfeasibleConstraint as error:
        yield f"nothing can meet the constraints: {error}"


def warnings(spec: JobSpec, known: Known) -> tuple[str, ...]:
    """Return a sentence for each constraint, target or objective that has no effect."""
    return tuple(
        dict.fromkeys(
            [
                *_of_each(spec.constraints, known),
                *(f"stop.target: {said}" for said in _of_each(spec.stop.target, known)),
                *_implied(spec.constraints, known.baseline),
                *_objectives(spec, known),
            ]
        )
    )


def _of_each(constraints: Sequence[Constraint], known: Known) -> Iterator[str]:
    for constraint in constraints:
        if said := _says_nothing(constraint.metric, known) or _of_one(constraint, known):
            yield f"{constraint.label}: {said}"


def _says_nothing(metric: Metric, known: Known) -> str:
    """Return why a metric is the same for all candidates whatever they answer, or an empty text."""
    least = METRICS[metric].least_classes
    if known.num_classes is None or known.num_classes >= least:
        return ""
    return (
        f"all candidates have the same, because {metric} needs at least {least} classes to differ "
        f"and the data has {known.num_classes}; leave it out"
    )


def _of_one(constraint: Constraint, known: Known) -> str:
    info = METRICS[constraint.metric]
    if info.unit == "share":
        return _of_share(constraint, known)
    return "" if info.is_quality else _of_cost(constraint, known)


def _of_share(constraint: Constraint, known: Known) -> str:
    """Return why a bound on a share, such as accuracy, excludes nothing, and what may be meant.

    The text is empty if the bound excludes something.
    """
    metric = constraint.metric
    bound = constraint.bound(known.baseline) if is_bound(constraint, known.baseline) else None
    highest = constraint.factor + constraint.offset if bound is None else bound
    lowest = constraint.offset if bound is None else bound
    if constraint.comparison == "at_most":
        if lowest < 1:
            return ""
        return (
            f"every candidate meets it, because no {metric} is above 1; a floor is written "
            f"'{metric} >= 90 %' or '{metric} >= baseline - 1 point'"
        )
    if highest <= 0:
        return f"every candidate meets it, because it is at or below 0; {_meant(constraint)}"
    if metric in (FIRST_PRIMARY, QUALITY) and bound is not None and bound <= known.guessing:
        return (
            f"every candidate that has learnt anything meets it: it asks for {bound:.2%}, and "
            f"always answering the most frequent class has {known.guessing:.2%}; "
            f"{_meant(constraint)}"
        )
    return _large(constraint)


def _large(constraint: Constraint) -> str:
    """Return what a relative floor without a unit allows if that is far below the baseline."""
    allows = -constraint.offset
    if not constraint.is_relative or allows < _LARGE or _has_unit(constraint):
        return ""
    return (
        f"it allows {_PERCENT * allows:g} points, because {constraint.metric} is a share from 0 to "
        f"1; for {allows:g} points write 'baseline - {allows:g} points'"
    )


def _has_unit(constraint: Constraint) -> bool:
    return any(unit in constraint.text for unit in ("point", "%"))


def _meant(constraint: Constraint) -> str:
    """Return what was probably meant by a floor that allows too much."""
    metric = constraint.metric
    if not constraint.is_relative:
        return f"write a share or percent, such as '{metric} >= 90 %'"
    points = -constraint.offset
    if not 1 <= points <= _MOST_POINTS or _has_unit(constraint):
        return "write 'baseline - 1 point' for one point"
    few = f"{points:g} point" + ("" if points == 1 else "s")
    return (
        f"{metric} is a share from 0 to 1, so this allows {_PERCENT * points:g} points: write "
        f"'baseline - {few}' or 'baseline - {points / _PERCENT:g}' for {few}"
    )


def _of_cost(constraint: Constraint, known: Known) -> str:
    """Return why a bound on a metric other than a share excludes nothing."""
    bound = constraint.bound(known.baseline) if is_bound(constraint, known.baseline) else None
    if constraint.comparison == "at_least":
        if bound is None or bound > 0:
            return ""
        metric = constraint.metric
        return f"every candidate meets it, because none is below 0; a limit is '{metric} <= ...'"
    highest = known.highest.get(constraint.metric, math.inf)
    if bound is not None and bound >= highest:
        return (
            f"every candidate meets it, because none is above {shown(constraint.metric, highest)}; "
            f"{_lower(constraint)}"
        )
    if _is_at_or_above_baseline(constraint, bound, known):
        own = _own(constraint, known)
        return f"every candidate meets it that is not above the baseline{own}; {_lower(constraint)}"
    return ""


def _is_at_or_above_baseline(constraint: Constraint, bound: float | None, known: Known) -> bool:
    times = known.times.get(constraint.metric)
    if times is None:
        return False
    own = None if known.baseline is None else known.baseline.known(constraint.metric)
    if bound is None or own is None:
        return constraint.factor >= times and constraint.offset >= 0
    return bound >= times * own


def _own(constraint: Constraint, known: Known) -> str:
    own = None if known.baseline is None else known.baseline.known(constraint.metric)
    return "" if own is None else f", which has {shown(constraint.metric, own)}"


def _lower(constraint: Constraint) -> str:
    """Return what was probably meant by a limit that is too high."""
    metric, factor = constraint.metric, constraint.factor
    if 1 < factor <= _PERCENT:
        return f"{factor:g} % of the baseline is '{metric} <= {factor / _PERCENT:g} x baseline'"
    return f"write a smaller number, or one such as '{metric} <= baseline / 4'"


def _implied(constraints: Sequence[Constraint], baseline: Measurement | None) -> Iterator[str]:
    """Yield a sentence for each bound that a stricter one of the same kind makes redundant."""
    for one, other in combinations(constraints, 2):
        apart = gap(one, other, baseline)
        if apart is None or one.comparison != other.comparison:
            continue
        is_one_weaker = apart >= 0 if one.comparison == "at_most" else apart <= 0
        weaker, stronger = (one, other) if is_one_weaker else (other, one)
        yield (
            f"{weaker.label}: it excludes nothing that {stronger.label} does not; drop one of them"
        )


def _objectives(spec: JobSpec, known: Known) -> Iterator[str]:
    """Yield a sentence for each objective that is the same for all candidates."""
    for metric in spec.metrics:
        if said := _says_nothing(metric, known):
            yield f"{METRICS[metric].direction} {metric}: {said}"
        ways = _CHANGE.get(metric)
        if ways is not None and not ways & set(spec.techniques):
            yield (
                f"minimise {metric}: all candidates have the same, because only "
                f"{', '.join(sorted(ways))} change it and the job lists none of them; leave it out"
            )
