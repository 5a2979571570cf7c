"""The description of ``weight_sharing``."""

from __future__ import annotations

from compress.techniques.description.conditions import When, either
from compress.techniques.description.costs import FLOAT_BITS, Costs, Fields, FieldValues
from compress.techniques.description.rules import Refused, Relation, counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.weight_sharing.config import WeightSharing


class _Costs(Costs):
    """A codebook changes no counts, only the bits of a weight."""

    def bits(self, fields: Fields) -> float:
        """Estimate that a weight takes the bits of its index."""
        return int(fields["index_bits"]) or FLOAT_BITS

    def chooses_values(self, values: FieldValues) -> bool:
        """Whether weights come from a codebook, whose values code shorter than floats."""
        return max(values("index_bits")) > 0


TECHNIQUE = Technique(
    name="weight_sharing",
    config=WeightSharing,
    summary="Let weights choose from a small codebook per layer.",
    acts_on=frozenset({"weights"}),
    disabled={"index_bits": 0},
    conditions=(
        counts_where(
            "weight_sharing.calibration_images",
            When("weight_sharing.weighting", among=("activation",)),
        ),
    ),
    refused=(
        Refused(
            value=When("weight_sharing.index_bits", among=(1,)),
            beside=either(
                When("sparsity.sparsity", above=0), When("sparsity.pattern", not_among=("",))
            ),
            instead=2,
            why="zeros take one of the two values",
            way_out="use at least 2 bits, or let sparsity be 0",
        ),
    ),
    exceptions=(
        Relation(
            first="sparsity",
            second="weight_sharing",
            kind="decides",
            why="Zeros take one value of every codebook, so an index needs at least 2 bits.",
            fields=("index_bits",),
            unless=(
                (When("sparsity.sparsity", among=(0.0,)), When("sparsity.pattern", among=("",))),
            ),
        ),
    ),
    composes={
        "family_member": "The layers of the member get codebooks.",
        "filter_pruning": "The channels that are left get codebooks.",
        "low_rank": "Every factor gets a codebook of its own.",
        "distillation": "The network learns with the values of its codebooks.",
    },
    costs=_Costs(),
)
