"""The description of ``quantization``."""

from __future__ import annotations

from compress.techniques.description.conditions import When, either
from compress.techniques.description.costs import Costs, Fields, FieldValues
from compress.techniques.description.rules import Applies, Refused, Relation, counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.quantization.config import Quantization

_WEIGHT_FIELDS = (
    "weight_bits",
    "edges_8bit",
    "granularity",
    "group_size",
    "scheme",
    "observer",
    "rounding",
    "training",
    "noise_probability",
    "bias_correction",
    "equalise",
    "allocation",
    "extra_bits",
    "layer_bits",
    "reduced_range",
    "exclude",
)
"""The fields that are about weights, not activations."""
_NEEDS_A_GRID = (
    "granularity",
    "scheme",
    "observer",
    "rounding",
    "training",
    "bias_correction",
    "equalise",
    "reduced_range",
    "calibration_images",
)
_IN_INTEGERS = When("quantization.activations", among=("int8",))
_MIXED_BITS = (
    When("quantization.allocation", among=("sensitivity",)),
    When("quantization.layer_bits", not_among=("",)),
)
_WITHOUT_CODEBOOKS = either(
    When("weight_sharing.index_bits", among=(0,)),
    When("weight_sharing.exclude", not_among=("",)),
)
"""Where some weights have no codebook."""


class _Costs(Costs):
    """A grid changes no counts, only the bits of a weight."""

    def bits(self, fields: Fields) -> float:
        """Estimate that a weight takes its bits on average."""
        return float(fields["weight_bits"]) + float(fields["extra_bits"])

    def multiplies_integers(self, fields: Fields) -> bool:
        """Whether activations are integers."""
        return fields["activations"] == "int8"

    def may_multiply_integers(self, values: FieldValues) -> bool:
        """Whether activations may be integers."""
        return "int8" in values("activations")

    def chooses_values(self, values: FieldValues) -> bool:
        """Whether weights lie on a grid or in float16, which code shorter than floats."""
        return True


_DECIDED = (
    *(Applies(field=f"quantization.{name}", when=_WITHOUT_CODEBOOKS) for name in _WEIGHT_FIELDS),
    Applies(field="quantization", when=((_IN_INTEGERS,), *_WITHOUT_CODEBOOKS)),
)
"""What codebooks decide counts only where they leave it to the grid."""
_CONDITIONS = (
    counts_where("quantization.short_scales", _IN_INTEGERS),
    # Float16 has no grid to choose, and rounds too little to make up for.
    *(
        counts_where(
            f"quantization.{name}",
            When("quantization.weight_bits", not_among=(16,)),
            When("quantization.layer_bits", not_among=("",)),
        )
        for name in _NEEDS_A_GRID
    ),
    counts_where("quantization.activation_observer", _IN_INTEGERS),
    counts_where("quantization.group_size", When("quantization.granularity", among=("group",))),
    counts_where(
        "quantization.extra_bits", When("quantization.allocation", among=("sensitivity",))
    ),
    # The edges have 8 bits where all layers have, and 16 beside those of 16.
    counts_where(
        "quantization.edges_8bit",
        When("quantization.weight_bits", not_among=(8, 16)),
        When("quantization.allocation", among=("sensitivity",)),
    ),
    # Neither 1 nor 8 bits have an affine grid.
    counts_where(
        "quantization.scheme",
        When("quantization.weight_bits", not_among=(1, 8)),
        *_MIXED_BITS,
    ),
    # One bit has a scale that no observer chooses.
    counts_where(
        "quantization.observer",
        When("quantization.weight_bits", not_among=(1,)),
        When("quantization.edges_8bit", among=(True,)),
        *_MIXED_BITS,
    ),
    # It also takes the affine grid from 7 bits.
    counts_where(
        "quantization.reduced_range",
        When("quantization.weight_bits", among=(7, 8)),
        When("quantization.edges_8bit", among=(True,)),
        *_MIXED_BITS,
    ),
    # Eight bits are not trained against.
    counts_where(
        "quantization.training", When("quantization.weight_bits", not_among=(8,)), *_MIXED_BITS
    ),
    counts_where("quantization.noise_probability", When("quantization.training", among=("noise",))),
    # The activations' observer is minmax by now where activations are floats.
    counts_where(
        "quantization.percentile",
        When("quantization.observer", among=("percentile",)),
        When("quantization.activation_observer", among=("percentile",)),
    ),
    counts_where(
        "quantization.calibration_images",
        _IN_INTEGERS,
        When("quantization.bias_correction", among=(True,)),
        When("quantization.rounding", not_among=("nearest",)),
        When("quantization.allocation", among=("sensitivity",)),
    ),
)
_REFUSED = (
    Refused(
        value=_IN_INTEGERS,
        beside=either(When("quantization.weight_bits", among=(16,))),
        instead="float",
        why="an integer kernel multiplies weights of 8 bits at most",
        way_out="let activations be 'float', or weight_bits be at most 8",
    ),
    Refused(
        value=When("quantization.granularity", among=("group",)),
        beside=either(_IN_INTEGERS),
        instead="channel",
        why="an integer kernel has one scale per output channel",
        way_out="let activations be 'float', or leave 'group' out",
    ),
    Refused(
        value=When("quantization.scheme", among=("affine",)),
        beside=either(When("quantization.granularity", among=("group",))),
        instead="symmetric",
        why="a file stores one zero point per output channel",
        way_out="let granularity be 'channel' or 'tensor', or leave 'affine' out",
    ),
    Refused(
        value=When("quantization.allocation", among=("sensitivity",)),
        beside=either(When("quantization.weight_bits", among=(16,))),
        instead="uniform",
        why="sensitivity allots 1 to 8 bits",
        way_out="let weight_bits be at most 8, or leave 'sensitivity' out",
    ),
    Refused(
        value=When("quantization.extra_bits", above=0),
        beside=either(When("quantization.allocation", among=("uniform",))),
        instead=0.0,
        why="equal bits are whole",
        way_out="let allocation be 'sensitivity', or leave extra_bits out",
    ),
    Refused(
        value=When("quantization.extra_bits", above=0),
        beside=either(When("quantization.weight_bits", among=(8, 16))),
        instead=0.0,
        why="8 bits are all there are",
        way_out="let weight_bits be at most 7, or leave extra_bits out",
    ),
)

TECHNIQUE = Technique(
    name="quantization",
    config=Quantization,
    summary="Store weights in 1 to 8 bits or 16; compute in 8-bit integers or in float.",
    acts_on=frozenset({"weights", "activations"}),
    disabled={},
    conditions=(*_DECIDED, *_CONDITIONS),
    refused=_REFUSED,
    exceptions=(
        Relation(
            first="weight_sharing",
            second="quantization",
            kind="decides",
            why=(
                "A weight with a codebook takes its value from there; quantization adds "
                "activations."
            ),
            fields=_WEIGHT_FIELDS,
            unless=_WITHOUT_CODEBOOKS,
        ),
    ),
    composes={
        "family_member": "The layers of the member get grids.",
        "filter_pruning": "The channels that are left get grids.",
        "low_rank": "Every factor gets a grid of its own.",
        "distillation": "The rounded network learns from the teacher.",
        "sparsity": "Zeros stay zeros on every grid; 1 bit becomes -1, 0 and 1.",
    },
    costs=_Costs(),
)
