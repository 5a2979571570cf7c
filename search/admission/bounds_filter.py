"""Reject candidates that cannot enter the front before they become trials.

Before a candidate is built, only lower bounds of its parameters, MACs and bytes are known
(``search.space.feasibility``); nothing is known of its latency, memory or download size. A
candidate is rejected in three cases: a bound violates a constraint that other candidates of the
space may meet; a measured file dominates it whatever its accuracy (the file is at most its bounds
in every objective but accuracy, and as accurate as any candidate is assumed to become); or its cell
has no path from input to output, so that its answer does not depend on the image. Other qualities
of the answers are treated like accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compress.network.outline import Outline
from compress.techniques.candidate import Candidate
from compress.values.measurement import METRICS, QUALITY, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec
from search.space import feasibility
from search.space.feasibility import Bounds
from search.space.problem import Problem

KNOWN = frozenset(name for name, info in METRICS.items() if info.is_known_before_training)
"""Metrics for which a lower bound is known for every candidate."""
_LEAST_ERROR = 0.5
"""No candidate is assumed to reach less than this share of the baseline's error."""
CONSTANT = "no path leads through its cell: it would answer alike whatever the image"


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """The reason why a candidate is not tried, and what the sampler is told about it.

    ``violations`` maps each constraint's label to its violation. It is empty if a file dominates
    the candidate or the candidate is constant; the sampler is told no values then. ``values`` holds
    the objectives: the candidate's bound if it is known, otherwise the baseline's value.
    """

    reason: str
    violations: Mapping[str, float]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class BoundsFilter:
    """The check of one job's candidates. ``of_space`` holds the bounds of the whole space."""

    spec: JobSpec
    outline: Outline
    of_space: Bounds
    baseline: Measurement

    def rejection(self, candidate: Candidate, files: Iterable[Measurement]) -> Rejection | None:
        """Return why the candidate cannot enter a front with these measured files, or None."""
        if self._is_constant(candidate):
            return Rejection(reason=CONSTANT, violations={}, values=())
        bounds = feasibility.candidate_bounds(self.spec, candidate, self.outline)
        violations = self._violations(bounds)
        if violations:
            worst = max(violations, key=lambda label: violations[label])
            reason = f"{worst} is violated by at least {violations[worst]:.1%} of its bound"
            return Rejection(reason=reason, violations=violations, values=self._values(bounds))
        if any(self._dominates(file, bounds) for file in files):
            reason = "a file that is at least as small is as accurate as any candidate may become"
            return Rejection(reason=reason, violations={}, values=())
        return None

    @property
    def best_score(self) -> float:
        """The primary metric that no candidate is assumed to exceed: half of the error is left."""
        return self._best(QUALITY)

    def _best(self, share: Metric) -> float:
        return 1.0 - _LEAST_ERROR * (1.0 - self.baseline.value(share))

    def _is_constant(self, candidate: Candidate) -> bool:
        whole, member = self.outline.elastic, candidate.network
        if whole is None or not whole.operations or member is None:
            return False
        return whole.is_constant(member.shape)

    def _violations(self, bounds: Bounds) -> dict[str, float]:
        """Return each constraint's certain violation, 0 if unknown; empty if none is violated."""
        found = {
            constraint.label: max(0.0, self._least(constraint, bounds))
            for constraint in self.spec.constraints
        }
        return found if any(amount > 0 for amount in found.values()) else {}

    def _least(self, constraint: Constraint, bounds: Bounds) -> float:
        if constraint.metric not in KNOWN or constraint.comparison != "at_most":
            return 0.0
        bound = constraint.bound(self.baseline)
        if self.of_space.lowest(constraint.metric) > bound:
            # Nothing can meet it: the nearest file is wanted, and that may be any.
            return 0.0
        return (bounds.lowest(constraint.metric) - bound) / max(abs(bound), 1e-12)

    def _dominates(self, file: Measurement, bounds: Bounds) -> bool:
        metrics = self.spec.metrics
        shares = {QUALITY, *(metric for metric in metrics if _is_bounded(metric))}
        if any(file.value(share) < self._best(share) for share in shares):
            return False
        costs = [metric for metric in metrics if metric not in shares]
        return all(m in KNOWN and file.value(m) <= bounds.lowest(m) for m in costs)

    def _values(self, bounds: Bounds) -> list[float]:
        return [
            bounds.lowest(objective.metric)
            if objective.metric in KNOWN
            else self.baseline.value(objective.metric)
            for objective in self.spec.objectives
        ]


def _is_bounded(metric: Metric) -> bool:
    """Return whether it is 1 at best, so that the most a candidate may reach can be assumed."""
    return METRICS[metric].is_bounded


def has_use(spec: JobSpec) -> bool:
    """Return whether any candidate of the job could be rejected."""
    compared = {metric for metric in spec.metrics if not _is_bounded(metric)}
    limited = {c.metric for c in spec.constraints if c.comparison == "at_most"}
    return bool(limited & KNOWN) or compared <= KNOWN


def of_problem(problem: Problem) -> BoundsFilter | None:
    """Build the filter of a job's candidates; it stays the same for as long as the job runs.

    Returns None before the baseline is measured, and if no candidate could ever be rejected.
    """
    spec, outline, baseline = problem.spec, problem.outline, problem.baseline
    has_cells = outline.elastic is not None and bool(outline.elastic.operations)
    if baseline is None or not (has_use(spec) or has_cells):
        return None
    of_space = feasibility.lower_bounds(spec, problem.space)
    return BoundsFilter(spec=spec, outline=outline, of_space=of_space, baseline=baseline)
