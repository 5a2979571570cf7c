"""The bounds of constraints, as numbers if they are known yet, and in words."""

from __future__ import annotations

from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.constraints import Constraint


def is_bound(constraint: Constraint, baseline: Measurement | None) -> bool:
    """Return whether the bound is a number yet; an older baseline may lack its metric."""
    return not constraint.is_relative or (
        baseline is not None and baseline.known(constraint.metric) is not None
    )


def gap(one: Constraint, other: Constraint, baseline: Measurement | None) -> float | None:
    """Return the bound of ``one`` minus that of ``other``, or None if that is not known yet.

    It is also None for two metrics. Two bounds with the same factor of the baseline can be compared
    before it is measured.
    """
    if one.metric != other.metric:
        return None
    if one.factor == other.factor:
        return one.offset - other.offset
    if not (is_bound(one, baseline) and is_bound(other, baseline)):
        return None
    return one.bound(baseline) - other.bound(baseline)


def shown(metric: Metric, value: float) -> str:
    """Return a metric's name and value with its unit."""
    unit = {"bytes": " bytes", "ms": " ms"}.get(METRICS[metric].unit, "")
    return f"{metric} {value:,.6g}{unit}" if value < 1e6 else f"{metric} {value:,.0f}{unit}"
