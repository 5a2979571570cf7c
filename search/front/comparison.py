"""Turn a measurement into the numbers that are compared, of which smaller is better."""

from __future__ import annotations

from collections.abc import Sequence

from compress.values.measurement import METRICS, QUALITY, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.objective import Objective

NO_CONSTRAINTS = -1.0
"""The violation of a job without constraints."""


def objective(metric: Metric) -> Objective:
    """Return the objective that optimises the metric in its better direction."""
    return Objective(metric=metric, direction=METRICS[metric].direction)


def quality(objectives: Sequence[Objective]) -> Metric:
    """Return the first objective that is a quality of the answers, or the task's primary one."""
    named = (each.metric for each in objectives if METRICS[each.metric].is_quality)
    return next(named, QUALITY)


def vector(measurement: Measurement, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return one number per objective, in their order, all to be minimised."""
    return tuple(
        -value if objective.direction == "maximise" else value
        for objective, value in zip(objectives, values(measurement, objectives), strict=True)
    )


def values(measurement: Measurement, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return one number per objective, in the metric's own unit and direction."""
    return tuple(measurement.value(objective.metric) for objective in objectives)


def violation(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> float:
    """Return the largest violation as a share of its bound; at most 0 if all are satisfied.

    Raises ValueError if a constraint is relative and ``baseline`` is None.
    """
    return max(violations(measurement, constraints, baseline).values(), default=NO_CONSTRAINTS)


def violations(
    measurement: Measurement, constraints: Sequence[Constraint], baseline: Measurement | None
) -> dict[str, float]:
    """Return the violation of each constraint by its label; the worse one of equal labels."""
    found: dict[str, float] = {}
    for constraint in constraints:
        amount = constraint.violation(measurement, baseline)
        found[constraint.label] = max(amount, found.get(constraint.label, amount))
    return found
