"""From a measurement to the numbers that are compared: all of them smaller is better."""

from __future__ import annotations

from collections.abc import Sequence

from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective

NO_CONSTRAINTS = -1.0
"""Violation where nothing can be violated."""


def objective(metric: Metric) -> Objective:
    """The metric in the direction in which it is better."""
    return Objective(metric=metric, direction=METRICS[metric].direction)


def quality(objectives: Sequence[Objective]) -> Metric:
    """What a job calls good answers: its first objective of that kind, or else accuracy."""
    named = (each.metric for each in objectives if METRICS[each.metric].is_quality)
    return next(named, "accuracy")


def vector(measurement: Measurement, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """One number per objective, in their order, all to be minimised."""
    return tuple(
        -value if objective.direction == "maximise" else value
        for objective, value in zip(objectives, values(measurement, objectives), strict=True)
    )


def values(measurement: Measurement, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """One number per objective in the metric's own unit and direction."""
    return tuple(measurement.value(objective.metric) for objective in objectives)


def violation(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> float:
    """The largest violation, as a share of the bound; at most 0 when all are satisfied.

    Raises ValueError when a constraint is relative and ``baseline`` is None.
    """
    return max(violations(measurement, constraints, baseline).values(), default=NO_CONSTRAINTS)


def violations(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> dict[str, float]:
    """Label of each constraint to its violation; of equal labels the worse counts."""
    found: dict[str, float] = {}
    for constraint in constraints:
        amount = constraint.violation(measurement, baseline)
        found[constraint.label] = max(amount, found.get(constraint.label, amount))
    return found
