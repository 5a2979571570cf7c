"""Bounds of constraints as numbers, as far as anybody knows them, and in words."""

from __future__ import annotations

from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.constraints import Constraint


def is_bound(constraint: Constraint, baseline: Measurement | None) -> bool:
    """Whether the bound is a number yet: an older baseline may lack the metric it needs."""
    return not constraint.is_relative or (
        baseline is not None and baseline.known(constraint.metric) is not None
    )


def gap(one: Constraint, other: Constraint, baseline: Measurement | None) -> float | None:
    """By how much the bound of the one is above the other's; None where nobody knows.

    Bounds that refer to the baseline alike need not wait for it.
    """
    if one.metric != other.metric:
        return None
    if one.factor == other.factor:
        return one.offset - other.offset
    if not (is_bound(one, baseline) and is_bound(other, baseline)):
        return None
    return one.bound(baseline) - other.bound(baseline)


def shown(metric: Metric, value: float) -> str:
    """A metric's value in words."""
    unit = {"bytes": " bytes", "ms": " ms"}.get(METRICS[metric].unit, "")
    return f"{metric} {value:,.6g}{unit}" if value < 1e6 else f"{metric} {value:,.0f}{unit}"
