"""What a sampler knows before anything was tried: the space, and what candidates cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from optuna.distributions import BaseDistribution

from compress.values.knobs import Scalar
from compress.values.measurement import METRICS, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec
from search.samplers import CostFunction, Knowledge
from search.space.known_costs import KnownCosts
from search.space.problem import Problem
from search.study import frozen
from search.study.allocation_table import AllocationTable


def of_problem(problem: Problem) -> Knowledge:
    """Return costs that are counted exactly, estimates of other costs, and exact limits.

    If knobs allocate by a profile, the share of the baseline that an allocation keeps is an
    estimate, and the other numbers that describe it are hints.
    """
    spec, space = problem.spec, problem.space
    distributions = frozen.distributions(space)
    table = AllocationTable.of(space)
    metrics: Mapping[int, Metric] = {i: wanted.metric for i, wanted in enumerate(spec.objectives)}
    if table is not None:
        return _of_allotments(table, metrics, distributions)
    counted = KnownCosts(space=space)
    return Knowledge(
        space=distributions,
        costs={i: partial(counted.column, m) for i, m in metrics.items() if m in counted.exact},
        limits=_limits(spec, counted),
        estimates={
            i: partial(counted.column, m) for i, m in metrics.items() if m in counted.estimated
        },
    )


def _of_allotments(
    table: AllocationTable,
    metrics: Mapping[int, Metric],
    distributions: Mapping[str, BaseDistribution],
) -> Knowledge:
    axis = table.allocation.choices.axis
    estimates = {
        index: table.shares
        for index, metric in metrics.items()
        if METRICS[metric].in_proportion_to == axis
    }
    return Knowledge(
        space=distributions,
        estimates=estimates,
        hints=table.hints if estimates else (table.shares, *table.hints),
        explained=table.knobs,
    )


def _limits(spec: JobSpec, counted: KnownCosts) -> dict[str, CostFunction]:
    """The violations that follow from counts; a bound relative to the baseline is learned."""
    return {
        constraint.label: partial(_violations, constraint, counted)
        for constraint in spec.constraints
        if constraint.metric in counted.exact and not constraint.is_relative
    }


def _violations(
    constraint: Constraint, counted: KnownCosts, candidates: Sequence[Mapping[str, Scalar]]
) -> list[float]:
    """Return violations as shares of the bound, like ``Constraint.violation``."""
    bound = constraint.bound(None)
    sign = 1.0 if constraint.comparison == "at_most" else -1.0
    values = counted.column(constraint.metric, candidates)
    return [sign * (value - bound) / max(abs(bound), 1e-12) for value in values]
