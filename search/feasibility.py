"""Constraints that nothing can meet, refused before they cost anything.

The lower bounds are true ones, from the smallest network the space can describe: every stage as
narrow and shallow as the family member may be, every channel count pruned by the largest ratio of
any stage, weights of convolutions and of the linear layer only (normalisation folds away), each
stored in the fewest bits. A real file is larger: it also holds biases, scales and the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compress.families.catalog import Architecture
from compress.families.residual import layout
from compress.measurement import Measurement, Metric
from featherweight.specs.constraints import Constraint
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import KnobSchema
from search import grid
from search import space as spaces
from search.errors import InfeasibleConstraint

FLOAT_BITS = 32.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What no candidate of a space can be below, and the accuracy none can exceed."""

    size_bytes: float
    parameters: float
    macs: float

    def lowest(self, metric: Metric) -> float:
        """The metric's lower bound; 0 where nothing is known."""
        known = {"size_bytes": self.size_bytes, "parameters": self.parameters, "macs": self.macs}
        return known.get(metric, 0.0)


def check(
    spec: JobSpec,
    *,
    architecture: Architecture,
    in_channels: int,
    num_classes: int,
    input_shape: tuple[int, int, int] | None,
    baseline: Measurement | None,
) -> tuple[str, ...]:
    """Say for each constraint what was checked; ``input_shape`` is ``(C, H, W)``.

    Raises InfeasibleConstraint for a bound that no candidate can reach, and for two constraints
    that contradict each other.
    """
    limits = lower_bounds(
        spec,
        architecture=architecture,
        in_channels=in_channels,
        num_classes=num_classes,
        input_shape=input_shape,
    )
    said = tuple(_check(constraint, limits, baseline) for constraint in spec.constraints)
    _check_pairs([c for c in spec.constraints if baseline or not c.is_relative], baseline)
    return said


def lower_bounds(
    spec: JobSpec,
    *,
    architecture: Architecture,
    in_channels: int,
    num_classes: int,
    input_shape: tuple[int, int, int] | None,
) -> Bounds:
    """Bytes, parameters and MACs that no candidate of the job's space can be below."""
    smallest, bits = _smallest(spec, architecture)
    shapes = layout.tensor_shapes(smallest, in_channels=in_channels, num_classes=num_classes)
    weights = sum(math.prod(shape) for shape in shapes.values() if len(shape) > 1)
    macs = 0
    if input_shape is not None:
        _, height, width = input_shape
        macs = layout.macs(
            smallest, in_channels=in_channels, num_classes=num_classes, height=height, width=width
        )
    return Bounds(size_bytes=weights * bits / 8, parameters=weights, macs=macs)


def _smallest(spec: JobSpec, architecture: Architecture) -> tuple[Architecture, float]:
    """The narrowest and shallowest network of the space, and the fewest bits of a weight."""
    knobs = spaces.build(spec, architecture).knobs
    share = min(_ends(knobs, "family_member.width"), default=1.0)
    depth = int(min(_ends(knobs, "family_member.depth"), default=max(architecture.depths)))
    keep = 1.0 - max(_ends(knobs, "filter_pruning.ratios"), default=0.0)
    usual = 8.0 if "quantization" in spec.techniques else FLOAT_BITS
    smaller = {
        "widths": tuple(_narrowed(_narrowed(width, share), keep) for width in architecture.widths),
        "depths": tuple(min(depth, blocks) for blocks in architecture.depths),
    }
    bits = min(_ends(knobs, "quantization.weight_bits"), default=usual)
    return architecture.model_copy(update=smaller), bits


def _narrowed(width: int, share: float) -> int:
    return max(1, math.floor(width * share + 1e-9))


def _ends(knobs: Sequence[KnobSchema], name: str) -> list[float]:
    """Extreme values of the knobs of that name, of every stage."""
    found = [knob for knob in knobs if knob.name == name or knob.name.startswith(f"{name}.")]
    return [float(end) for knob in found for end in (knob.choices or grid.bounds(knob))]


def _check(constraint: Constraint, limits: Bounds, baseline: Measurement | None) -> str:
    if constraint.is_relative and baseline is None:
        return f"{constraint.label}: relative; checked once the baseline is measured"
    bound = constraint.bound(baseline)
    if constraint.comparison == "at_most":
        return _check_at_most(constraint, bound, limits)
    if constraint.metric == "accuracy" and bound > 1:
        raise InfeasibleConstraint(
            f"{constraint.label} asks for an accuracy of {bound:g}, and the highest possible is 1: "
            "write a smaller number, or percent ('90 %')"
        )
    return f"{constraint.label}: {_shown(constraint.metric, bound)} is within what is possible"


def _check_at_most(constraint: Constraint, bound: float, limits: Bounds) -> str:
    lowest = limits.lowest(constraint.metric)
    if bound < lowest or (bound <= 0 and constraint.metric != "accuracy") or bound < 0:
        raise InfeasibleConstraint(
            f"{constraint.label} allows {_shown(constraint.metric, bound)}, and nothing in the "
            f"search space is below {_shown(constraint.metric, lowest)}: raise the bound or widen "
            "the ranges of the techniques"
        )
    if lowest == 0:
        return f"{constraint.label}: no lower bound of {constraint.metric} is known beforehand"
    return f"{constraint.label}: not below {_shown(constraint.metric, lowest)}, the least possible"


def _check_pairs(constraints: Sequence[Constraint], baseline: Measurement | None) -> None:
    floors = [c for c in constraints if c.comparison == "at_least"]
    ceilings = [c for c in constraints if c.comparison == "at_most"]
    for floor in floors:
        for ceiling in ceilings:
            same = floor.metric == ceiling.metric
            if same and floor.bound(baseline) > ceiling.bound(baseline):
                raise InfeasibleConstraint(
                    f"{floor.label} and {ceiling.label} contradict each other: drop one of them"
                )


def _shown(metric: Metric, value: float) -> str:
    unit = {"size_bytes": " bytes", "latency_ms": " ms"}.get(metric, "")
    return f"{metric} {value:,.6g}{unit}" if value < 1e6 else f"{metric} {value:,.0f}{unit}"
