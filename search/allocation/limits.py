"""A job's upper bounds as shares of its baseline, for comparison with an allotment.

"At most B bytes" becomes a share of the baseline's bytes of weights, and "at most L ms" a share of
its MACs. Both are estimates. In addition to its weights a file is assumed to hold what the
baseline's file holds, scales, and the nodes that decode. Latency is assumed to be proportional to
MACs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compress.sensitivity.document import ProfileDocument
from compress.targets.target import ByteModel
from compress.values.measurement import METRICS, Measurement
from compress.values.metrics import Part
from featherweight.specs.constraints import Constraint
from search.allocation.allotment import Allotment, Allotter

SURE = 0.96
"""The share of a bound on bytes that is used: estimates from entropies were up to 3 % low."""
_FLOAT_BYTES = 4
_HALF = 16
_EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper limits of an allotment as shares of the baseline, infinite if there is no limit.

    ``size`` limits its bytes of weights, ``weights`` their number, and ``macs`` its MACs.
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
        counted: ByteModel,
    ) -> Limits:
        """Derive the limits from the upper bounds among the constraints.

        ``scale_bits`` are those of quantization, or None if files hold no scales, and ``counted``
        says what the target's form adds to the weights.
        """
        found: dict[str, float] = {}
        added = 0
        if scale_bits is not None:
            outputs = sum(layer.outputs for layer in profile.layers)
            scale = counted.half_scale if scale_bits == _HALF else counted.scale
            added = counted.decoding + scale * outputs
        for part, share in _shares(constraints, baseline, profile, added):
            limit = "size" if part == "bytes" else part
            found[limit] = min(share, found.get(limit, math.inf))
        return cls(**found)

    def hold(self, allotter: Allotter, found: Allotment) -> bool:
        """Return whether the allotment, made by ``allotter``, keeps within all limits."""
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
