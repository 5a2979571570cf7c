"""Refuse constraints that no candidate can meet, before they cost anything.

The lower bounds follow from the smallest network that the space can describe: every stage is as
narrow and as shallow as a member may be, pruning leaves as few channels as it can, and every layer
is split with rank 1. Only the weights of convolutions and linear layers count, because
normalisation folds away, and one node of the graph for each of them. If the values of the weights
are chosen (a grid, a codebook, zeros), their bits in the file depend on their distribution. All
that is certain then is what no code can go below: one bit for a block of nine
(``docs/storage.md``). A target that packs nothing has whole bytes or floats. A real file is larger,
because it also holds biases, scales and names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compress.network.member import Shape
from compress.network.outline import LayerInfo, Outline
from compress.targets import registry as targets
from compress.techniques.candidate import Candidate
from compress.techniques.description.conditions import ValuesOf
from compress.techniques.description.costs import (
    BYTE_BITS,
    FLOAT_BITS,
    FieldValues,
    LayerBound,
    LayerSize,
)
from compress.techniques.registry import BY_NAME, TECHNIQUES
from compress.values.knobs import Scalar
from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec, UntrainedModel
from search.errors import InfeasibleConstraint
from search.space import validation
from search.space.bounds import gap, is_bound, shown
from search.space.knobs import Domain, Knob
from search.space.problem import Problem
from search.space.space import Space

CODED_BITS = 1 / 9
"""Bits of a weight if its block of nine, the longest there is, has a code of one bit."""
NODE_BYTES = 17
"""Bytes of a node of a graph: its kind, two inputs and an output with names of one letter."""
_SURELY = 2.0
_MORE_BYTES = 100_000.0
"""A file has at most ``_SURELY`` times the bytes of its floats, plus ``_MORE_BYTES``."""
_PERCENT = 100.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Lower bounds that hold for every candidate of a space."""

    size_bytes: float
    parameters: float
    macs: float

    def lowest(self, metric: Metric) -> float:
        """Return the metric's lower bound; 0 if none is known."""
        known = {"size_bytes": self.size_bytes, "parameters": self.parameters, "macs": self.macs}
        return known.get(metric, 0.0)


def check(problem: Problem) -> tuple[str, ...]:
    """Return a sentence per constraint and target that says what was checked.

    Raises InfeasibleConstraint for a bound that no candidate can reach, and for two constraints
    that contradict each other.
    """
    spec, baseline = problem.spec, problem.baseline
    limits = lower_bounds(spec, problem.space)
    most = highest(problem.space.concrete, problem.outline)
    every = (*spec.constraints, *spec.stop.target)
    sentences = tuple(_check(constraint, limits, most, baseline) for constraint in every)
    _check_pairs(every, baseline)
    return sentences


def lower_bounds(spec: JobSpec, space: Space) -> Bounds:
    """Return bytes, parameters and MACs that no candidate of the job's space can be below."""
    return _lowest(spec, space.concrete, space.outline)


def highest(knobs: Sequence[Knob], outline: Outline) -> dict[Metric, float]:
    """Return generous upper bounds of the candidates of a space, by metric.

    They are those of the largest member at the largest resolution with float weights, doubled;
    bytes get another 100 kB for names, scales and factors. Metrics without a certain bound are left
    out.
    """
    values = validation.values_of(knobs)
    parameters = _SURELY * outline.parameters
    size_bytes = parameters * FLOAT_BITS / 8 + _MORE_BYTES
    return {
        "parameters": parameters,
        "size_bytes": size_bytes,
        "download_bytes": size_bytes,
        "macs": _SURELY * most_runs(values) * _on_largest_images(values, outline).macs,
    }


def most_runs(values: ValuesOf) -> int:
    """Return how often a network of the space may run for one image."""
    return math.prod(t.costs.run_range(_own(t.name, values))[1] for t in TECHNIQUES)


def largest_side(values: ValuesOf) -> int:
    """Return the largest side in pixels that images may be resized to; 0 if they never are."""
    return max(t.costs.largest_side(_own(t.name, values)) for t in TECHNIQUES)


def _on_largest_images(values: ValuesOf, outline: Outline) -> Outline:
    """The network itself, or the member that sees larger images if that has more MACs."""
    side = largest_side(values)
    is_larger = outline.image is not None and side > min(outline.image)
    return max(
        (outline, *([outline.member(Shape(resolution=side))] if is_larger else ())),
        key=lambda each: each.macs,
    )


def candidate_bounds(spec: JobSpec, candidate: Candidate, outline: Outline) -> Bounds:
    """Return bytes, parameters and MACs that this candidate of the job cannot be below."""
    knobs = [
        Knob(technique=step.technique, field=field, part=part, domain=Domain.of_choices((value,)))
        for step in candidate.configs
        for field, found in step.model_dump(exclude={"technique"}).items()
        for part, value in _parts(found)
    ]
    return _lowest(spec, knobs, outline)


def _parts(value: Any) -> Iterator[tuple[int | None, Scalar]]:
    """Yield the value of a field, or of each of its parts; skip what no knob can hold."""
    if isinstance(value, bool | int | float | str):
        yield None, value
    if isinstance(value, tuple):
        for index, part in enumerate(value):
            if isinstance(part, bool | int | float | str):
                yield index, part


def _lowest(spec: JobSpec, knobs: Sequence[Knob], outline: Outline) -> Bounds:
    values = validation.values_of(knobs)
    smallest = _smallest(values, outline, per_edge=validation.per_edge(knobs))
    layers = [layer for layer in smallest.layers if layer.kind != "norm"]
    narrowings = _narrowings(values)
    weights = {layer.name: _least_weights(layer, layers, narrowings) for layer in layers}
    parameters = sum(weights[layer.name] for layer in layers if layer.kind != "pad")
    macs = sum(each.macs * weights[each.name] / math.prod(each.weight_shape) for each in layers)
    runs = math.prod(t.costs.run_range(_own(t.name, values))[0] for t in TECHNIQUES)
    bits = _least_bits(spec, values)
    size_bytes = math.ceil(parameters * bits / 8) + NODE_BYTES * len(layers)
    return Bounds(size_bytes=size_bytes, parameters=parameters, macs=runs * macs)


def _least_bits(spec: JobSpec, values: ValuesOf) -> float:
    """Return the fewest bits that a weight may take in the form of the job's target."""
    if targets.find(spec.target).counted.packs:
        return CODED_BITS if _may_choose_values(spec, values) else FLOAT_BITS
    own = ((BY_NAME[name].costs, _own(name, values)) for name in spec.techniques)
    in_integers = any(costs.may_multiply_integers(fields) for costs, fields in own)
    return BYTE_BITS if in_integers else FLOAT_BITS


def _smallest(values: ValuesOf, outline: Outline, *, per_edge: Sequence[Sequence[str]]) -> Outline:
    """The smallest member of the space; the network itself if it has none."""
    if outline.elastic is None:
        return outline
    shapes = (t.costs.smallest_member(_own(t.name, values)) for t in TECHNIQUES)
    shape = next((shape for shape in shapes if shape is not None), Shape())
    return outline.member(replace(shape, cell=outline.elastic.least(per_edge)))


def _narrowings(values: ValuesOf) -> tuple[LayerBound, ...]:
    """The functions that bound how small layers become, in the order of the techniques."""
    found = (t.costs.narrowing(_own(t.name, values)) for t in TECHNIQUES)
    return tuple(narrowing for narrowing in found if narrowing is not None)


def _least_weights(
    layer: LayerInfo, layers: Sequence[LayerInfo], narrowings: Sequence[LayerBound]
) -> int:
    """Return the fewest weights that the layer may have."""
    size = LayerSize(
        shape=layer.weight_shape,
        weights=math.prod(layer.weight_shape),
        is_first=layer is layers[0],
        is_last=layer is layers[-1],
        is_trained=layer.kind != "pad",
    )
    for narrowed in narrowings:
        size = narrowed(size)
    return size.weights


def _may_choose_values(spec: JobSpec, values: ValuesOf) -> bool:
    """Return whether weights may be something other than floats, as an uploaded file may hold."""
    return not isinstance(spec.model, UntrainedModel) or any(
        BY_NAME[name].costs.chooses_values(_own(name, values)) for name in spec.techniques
    )


def _own(technique: str, values: ValuesOf) -> FieldValues:
    """The values of the fields of one technique."""
    return lambda field: values(f"{technique}.{field}")


def _check(
    constraint: Constraint,
    limits: Bounds,
    most: Mapping[Metric, float],
    baseline: Measurement | None,
) -> str:
    if not is_bound(constraint, baseline):
        _check_unbound(constraint)
        return f"{constraint.label}: relative; checked once the baseline is measured"
    bound = constraint.bound(baseline)
    if constraint.comparison == "at_most":
        return _check_at_most(constraint, bound, limits)
    _check_at_least(constraint, bound, most)
    return f"{constraint.label}: {shown(constraint.metric, bound)} is within what is possible"


def _check_unbound(constraint: Constraint) -> None:
    """Raise InfeasibleConstraint for a bound on a share that no baseline makes possible.

    The accuracy of a baseline, like every other share, lies between 0 and 1.
    """
    metric = constraint.metric
    if METRICS[metric].unit != "share":
        return
    if constraint.comparison == "at_least" and constraint.offset >= 1:
        raise InfeasibleConstraint(
            f"{constraint.label} asks for {_a(metric)} above {constraint.offset:g}, and the "
            f"highest possible is 1: {metric} is a share from 0 to 1, and a hundredth of it is "
            "'baseline + 1 point'"
        )
    if constraint.comparison == "at_most" and constraint.factor + constraint.offset < 0:
        raise InfeasibleConstraint(
            f"{constraint.label} allows no {metric} from 0 to 1: a floor is written "
            f"'{metric} >= baseline - 1 point'"
        )


def _a(metric: Metric) -> str:
    return f"an {metric}" if metric.startswith(tuple("aeiou")) else f"a {metric}"


def _check_at_least(constraint: Constraint, bound: float, most: Mapping[Metric, float]) -> None:
    is_share = METRICS[constraint.metric].is_bounded
    if is_share and bound > 1:
        percent = f"'{bound:g} %'" if bound <= _PERCENT else "'90 %'"
        meant = "'baseline - 1 point'" if constraint.is_relative else percent
        raise InfeasibleConstraint(
            f"{constraint.label} asks for {_a(constraint.metric)} of {bound:g}, and the highest "
            f"possible is 1: write a smaller number, such as {meant}"
        )
    if bound > most.get(constraint.metric, math.inf):
        raise InfeasibleConstraint(
            f"{constraint.label} asks for {shown(constraint.metric, bound)}, and nothing in the "
            f"search space is above {shown(constraint.metric, most[constraint.metric])}: if it was "
            f"meant as a limit, write '{constraint.metric} <= ...'"
        )


def _check_at_most(constraint: Constraint, bound: float, limits: Bounds) -> str:
    lowest = limits.lowest(constraint.metric)
    unit = METRICS[constraint.metric].unit
    may_be_zero = unit in ("share", "error")
    if unit != "score" and (bound < lowest or (bound <= 0 and not may_be_zero) or bound < 0):
        raise InfeasibleConstraint(
            f"{constraint.label} allows {shown(constraint.metric, bound)}, and nothing in the "
            f"search space is below {shown(constraint.metric, lowest)}: raise the bound or widen "
            "the ranges of the techniques"
        )
    if lowest == 0:
        return f"{constraint.label}: no lower bound of {constraint.metric} is known beforehand"
    return f"{constraint.label}: not below {shown(constraint.metric, lowest)}, the least possible"


def _check_pairs(constraints: Sequence[Constraint], baseline: Measurement | None) -> None:
    floors = [c for c in constraints if c.comparison == "at_least"]
    ceilings = [c for c in constraints if c.comparison == "at_most"]
    for floor in floors:
        for ceiling in ceilings:
            apart = gap(floor, ceiling, baseline)
            if apart is not None and apart > 0:
                raise InfeasibleConstraint(
                    f"{floor.label} and {ceiling.label} contradict each other: drop one of them"
                )
