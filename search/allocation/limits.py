"""What a job's constraints leave of its baseline, in the terms of an allotment.

"At most B bytes" is a share of the baseline's bytes of weights, "at most L ms" one of its
multiply-accumulates. Both are estimates: a file is taken to hold beside its weights what the
baseline's holds, scales, and the nodes that decode, and latency to be in proportion to
multiply-accumulates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compress.sensitivity.document import ProfileDocument
from compress.values.measurement import METRICS, Measurement
from compress.values.metrics import Part
from featherweight.specs.constraints import Constraint
from search.allocation.allotment import Allotment, Allotter

SURE = 0.96
"""Of a bound on bytes: estimates from entropies were up to 3 % too low."""
_FLOAT_BYTES = 4
_DECODING_BYTES = 1_000
"""Nodes and tables that make coded integers weights again."""
_SCALE_BYTES: Mapping[int, int] = {32: 4, 16: 0}
"""What a channel's scale adds, by ``scale_bits``: with 16 its bias takes two bytes less."""
_EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that an allotment may leave, as shares of the baseline's; infinite if unlimited.

    ``size`` is of its bytes of weights, ``weights`` of their number, ``macs`` of its
    multiply-accumulates.
    """

    size: float = math.inf
    weights: float = math.inf
    macs: float = math.inf

    @classmethod
    def of(
        cls,
        constraints: Sequence[Constraint],
        baseline: Measurement,
        profile: ProfileDocument,
        *,
        scale_bits: int | None,
    ) -> Limits:
        """Those that follow from the upper bounds among the constraints.

        ``scale_bits`` are those of quantization; None where weights stay as they are.
        """
        found: dict[str, float] = {}
        added = 0
        if scale_bits is not None:
            outputs = sum(layer.outputs for layer in profile.layers)
            added = _DECODING_BYTES + _SCALE_BYTES[scale_bits] * outputs
        for part, share in _shares(constraints, baseline, profile, added):
            limit = "size" if part == "bytes" else part
            found[limit] = min(share, found.get(limit, math.inf))
        return cls(**found)

    def hold(self, allotter: Allotter, found: Allotment) -> bool:
        """Whether the allotment, one of ``allotter``'s, keeps all of them."""
        size = found.share if allotter.choices.axis == "bytes" else 0.0
        pairs = (
            (size, self.size),
            (allotter.weights_left(found.ratios), self.weights),
            (allotter.macs_left(found.ratios), self.macs),
        )
        return all(left <= limit + _EPSILON for left, limit in pairs)


def _shares(
    constraints: Sequence[Constraint],
    baseline: Measurement,
    profile: ProfileDocument,
    added: int,
) -> Iterator[tuple[Part, float]]:
    weights = _FLOAT_BYTES * sum(layer.weights for layer in profile.layers)
    for constraint in constraints:
        part = METRICS[constraint.metric].in_proportion_to
        own = baseline.known(constraint.metric)
        if part is None or own is None or constraint.comparison != "at_most":
            continue
        bound = constraint.bound(baseline)
        if part == "bytes":
            yield part, (SURE * bound - max(0.0, own - weights) - added) / weights
        else:
            yield part, bound / own
