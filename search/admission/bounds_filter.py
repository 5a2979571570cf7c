"""Candidates that cannot enter the front, refused before they become trials.

What is known of a candidate before it is built are lower bounds of its parameters, MACs and bytes
(``search.space.feasibility``); nothing is claimed of its latency, memory or download. It is
refused where such a bound violates a constraint that other candidates of the space may meet, or
where a measured file dominates it whatever its accuracy: at most its bounds in every objective but
accuracy, and as accurate as any candidate is taken to become. A cell without a path through it is
refused too: it answers alike whatever the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compress.network.families.catalog import plan_of
from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.values.measurement import Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec
from search.space import feasibility
from search.space.feasibility import Bounds, Network

KNOWN: tuple[Metric, ...] = ("parameters", "macs", "size_bytes")
"""Of these a lower bound is known of every candidate."""
_LEAST_ERROR = 0.5
"""No candidate is taken to have less than this share of the baseline's error."""
CONSTANT = "no path leads through its cell: it would answer alike whatever the image"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a candidate is not tried, and what a sampler is told of it.

    ``violations`` are by constraint. Where they are empty, a file dominates the candidate or it is
    constant, and there is nothing to tell. ``values`` are the objectives: its bounds, and what is
    unknown of it, its accuracy among it, as of the baseline.
    """

    reason: str
    violations: Mapping[str, float]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What candidates of one job are held against. ``of_space`` bounds all of them."""

    spec: JobSpec
    network: Network
    of_space: Bounds
    baseline: Measurement

    def refusal(self, candidate: Candidate, files: Iterable[Measurement]) -> Refusal | None:
        """Why the candidate cannot enter a front that these measured files are on; None: it may."""
        if self._is_constant(candidate):
            return Refusal(reason=CONSTANT, violations={}, values=())
        bounds = feasibility.candidate_bounds(self.spec, candidate, self.network)
        violations = self._violations(bounds)
        if violations:
            worst = max(violations, key=lambda label: violations[label])
            reason = f"{worst} is violated by at least {violations[worst]:.1%} of its bound"
            return Refusal(reason=reason, violations=violations, values=self._values(bounds))
        if any(self._dominates(file, bounds) for file in files):
            reason = "a file that is at least as small is as accurate as any candidate may become"
            return Refusal(reason=reason, violations={}, values=())
        return None

    @property
    def best_accuracy(self) -> float:
        """What no candidate is taken to exceed: half of the baseline's error is left."""
        return 1.0 - _LEAST_ERROR * (1.0 - self.baseline.value("accuracy"))

    def _is_constant(self, candidate: Candidate) -> bool:
        architecture = self.network.architecture
        shapes = [step.shape for step in candidate.steps if isinstance(step, FamilyMember)]
        return bool(architecture.operations) and any(
            plan_of(architecture.member(shape), in_channels=1, num_classes=2).is_constant
            for shape in shapes
        )

    def _violations(self, bounds: Bounds) -> dict[str, float]:
        """Every constraint's violation where one is certain: 0 for those that nobody knows."""
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
            # Nothing can meet it: the nearest file is wanted, and any may be that.
            return 0.0
        return (bounds.lowest(constraint.metric) - bound) / max(abs(bound), 1e-12)

    def _dominates(self, file: Measurement, bounds: Bounds) -> bool:
        metrics = [objective.metric for objective in self.spec.objectives]
        if file.value("accuracy") < self.best_accuracy:
            return False
        costs = [metric for metric in metrics if metric != "accuracy"]
        return all(m in KNOWN and file.value(m) <= bounds.lowest(m) for m in costs)

    def _values(self, bounds: Bounds) -> list[float]:
        return [
            bounds.lowest(objective.metric)
            if objective.metric in KNOWN
            else self.baseline.value(objective.metric)
            for objective in self.spec.objectives
        ]


def has_use(spec: JobSpec) -> bool:
    """Whether a candidate of the job could be refused at all."""
    compared = {objective.metric for objective in spec.objectives} - {"accuracy"}
    limited = {c.metric for c in spec.constraints if c.comparison == "at_most"}
    return bool(limited & set(KNOWN)) or compared <= set(KNOWN)


def gate(spec: JobSpec, network: Network, baseline: Measurement) -> Gate:
    """What the job's candidates are held against, once the baseline is measured."""
    channels, *image = network.input_shape
    of_space = feasibility.lower_bounds(
        spec,
        architecture=network.architecture,
        in_channels=channels,
        num_classes=network.num_classes,
        input_shape=(channels, image[0], image[1]) if all(image) else None,
    )
    return Gate(spec=spec, network=network, of_space=of_space, baseline=baseline)
