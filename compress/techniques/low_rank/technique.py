"""The description of ``low_rank``."""

from __future__ import annotations

import math
from dataclasses import replace

from compress.techniques.description.conditions import When
from compress.techniques.description.costs import (
    Costs,
    Fields,
    FieldValues,
    LayerBound,
    LayerSize,
)
from compress.techniques.description.rules import counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.low_rank.config import LowRank

_ENERGY_POWER = 8
"""A guess: factors that keep a share ``e`` of the squared norm hold ``e**8`` of the weights."""


class _Costs(Costs):
    """Ranks depend on the weights, so everything is estimated."""

    is_exact = False

    def share(self, fields: Fields, stage: int | None) -> float:
        """Estimate the limit on size, or a guess from the energy, whichever is less."""
        return min(float(fields["size_ratio"]), float(fields["energy"]) ** _ENERGY_POWER)

    def narrowing(self, values: FieldValues) -> LayerBound | None:
        """Assume every layer split with rank 1."""
        return _split if min([*values("energy"), *values("size_ratio")]) < 1 else None


def _split(layer: LayerSize) -> LayerSize:
    """Return the layer split with rank 1 in Tucker's way, which has the fewest weights."""
    if not layer.is_trained:
        return layer
    outputs, inputs, *kernel = layer.shape
    core = math.prod(kernel) if math.prod(kernel) > 1 else 0
    return replace(layer, weights=min(layer.weights, outputs + inputs + core))


TECHNIQUE = Technique(
    name="low_rank",
    config=LowRank,
    summary="Split layers into thinner ones that do nearly the same.",
    acts_on=frozenset({"weights"}),
    disabled={"energy": 1.0, "size_ratio": 1.0},
    conditions=(
        counts_where(
            "low_rank.calibration_images", When("low_rank.weighting", among=("activation",))
        ),
    ),
    composes={
        "family_member": "The layers of the member are split, not those of the network.",
        "filter_pruning": "Layers are split after their channels have left; ranks fall.",
    },
    costs=_Costs(),
    needs_factors=True,
)
