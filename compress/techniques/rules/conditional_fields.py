"""When a field of a config counts, what configs refuse together, and how a technique is off.

These tables feed the search: a field that counts for nothing is set to a default, so that
candidates which do the same are one (``compress.techniques.rules.canonical``), its knob is not
given to the sampler, and a combination that a config refuses becomes the nearest one that it
accepts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compress.techniques.filter_pruning.config import CALIBRATED
from compress.techniques.rules.compatibility import RELATIONS
from compress.techniques.rules.conditions import Condition, When, either
from compress.values.knobs import Scalar


@dataclass(frozen=True, kw_only=True)
class Applies:
    """A field that counts only ``when`` others have certain values.

    ``field`` is ``technique.field``, or a technique as a whole. A rule with ``values`` is about
    these values of the field only. A field that does not count gets its default; a technique is
    left out.
    """

    field: str
    when: Condition
    values: tuple[Scalar, ...] = ()

    @property
    def technique(self) -> str:
        """The technique whose field it is."""
        return self.field.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A value that cannot be ``beside`` others; it becomes ``instead``.

    Of two fields the earlier one stays: the later gives way.
    """

    value: When
    beside: Condition
    instead: Scalar
    why: str
    way_out: str


OFF: Mapping[str, Mapping[str, Scalar]] = {
    "family_member": {"width": 1.0, "depth": 64},
    "filter_pruning": {"ratios": 0.0, "ratio": 0.0},
    "low_rank": {"energy": 1.0, "size_ratio": 1.0},
    "distillation": {"weight": 0.0, "features": "none"},
    "sparsity": {"sparsity": 0.0, "pattern": ""},
    "weight_sharing": {"index_bits": 0},
    "quantization": {},
    "mirroring": {"flip": "none"},
}
"""Values with which a technique does nothing; a listed quantization always does something."""


def _applies(field: str, *parts: When) -> Applies:
    return Applies(field=field, when=either(*parts))


def _decided() -> Iterator[Applies]:
    """What one technique decides of another counts only where it leaves it to the other."""
    for relation in RELATIONS:
        if relation.second == "quantization" and relation.kind == "decides":
            for field in relation.fields:
                yield Applies(field=f"quantization.{field}", when=relation.unless)
            on_activations = (When("quantization.activations", among=("int8",)),)
            yield Applies(field="quantization", when=(on_activations, *relation.unless))


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
_MIXED_BITS = (
    When("quantization.allocation", among=("sensitivity",)),
    When("quantization.layer_bits", not_among=("",)),
)
APPLIES: tuple[Applies, ...] = (
    _applies("filter_pruning.ratios", When("filter_pruning.scope", among=("stage",))),
    _applies(
        "filter_pruning.ratio",
        When("filter_pruning.scope", not_among=("stage",)),
        When("filter_pruning.target", not_among=("channels",)),
    ),
    _applies("filter_pruning.normalisation", When("filter_pruning.scope", among=("global",))),
    _applies("filter_pruning.keep_at_least", When("filter_pruning.scope", among=("global",))),
    _applies("filter_pruning.step_epochs", When("filter_pruning.steps", above=1)),
    _applies(
        "filter_pruning.calibration_images",
        When("filter_pruning.importance", among=tuple(sorted(CALIBRATED))),
    ),
    _applies("filter_pruning.slimming_penalty", When("filter_pruning.slimming_epochs", above=0)),
    _applies("low_rank.calibration_images", When("low_rank.weighting", among=("activation",))),
    _applies("quantization.short_scales", When("quantization.activations", among=("int8",))),
    _applies("distillation.features", When("distillation.feature_weight", above=0)),
    _applies("distillation.feature_weight", When("distillation.features", not_among=("none",))),
    _applies("distillation.loss", When("distillation.weight", above=0)),
    Applies(
        field="distillation.temperature",
        when=(
            (
                When("distillation.weight", above=0),
                When("distillation.loss", not_among=("mse",)),
            ),
        ),
    ),
    _applies("distillation.alpha", When("distillation.loss", among=("decoupled",))),
    _applies("distillation.beta", When("distillation.loss", among=("decoupled",))),
    _applies("sparsity.sparsity", When("sparsity.pattern", among=("",))),
    _applies("sparsity.scope", When("sparsity.pattern", among=("",))),
    Applies(
        field="sparsity.criterion",
        values=("lamp",),
        when=((When("sparsity.scope", among=("global",)), When("sparsity.pattern", among=("",))),),
    ),
    _applies("sparsity.calibration_images", When("sparsity.criterion", among=("wanda",))),
    _applies(
        "weight_sharing.calibration_images",
        When("weight_sharing.weighting", among=("activation",)),
    ),
    *_decided(),
    # Float16 has no grid to choose, and rounds too little to make up for.
    *(
        _applies(
            f"quantization.{field}",
            When("quantization.weight_bits", not_among=(16,)),
            When("quantization.layer_bits", not_among=("",)),
        )
        for field in _NEEDS_A_GRID
    ),
    _applies("quantization.activation_observer", When("quantization.activations", among=("int8",))),
    _applies("quantization.group_size", When("quantization.granularity", among=("group",))),
    _applies("quantization.extra_bits", When("quantization.allocation", among=("sensitivity",))),
    # The edges have 8 bits where all layers have, and 16 beside those of 16.
    _applies(
        "quantization.edges_8bit",
        When("quantization.weight_bits", not_among=(8, 16)),
        When("quantization.allocation", among=("sensitivity",)),
    ),
    # Neither 1 nor 8 bits have an affine grid.
    _applies(
        "quantization.scheme",
        When("quantization.weight_bits", not_among=(1, 8)),
        *_MIXED_BITS,
    ),
    # One bit has a scale that no observer chooses.
    _applies(
        "quantization.observer",
        When("quantization.weight_bits", not_among=(1,)),
        When("quantization.edges_8bit", among=(True,)),
        *_MIXED_BITS,
    ),
    # It also takes the affine grid from 7 bits.
    _applies(
        "quantization.reduced_range",
        When("quantization.weight_bits", among=(7, 8)),
        When("quantization.edges_8bit", among=(True,)),
        *_MIXED_BITS,
    ),
    # Eight bits are not trained against.
    _applies(
        "quantization.training", When("quantization.weight_bits", not_among=(8,)), *_MIXED_BITS
    ),
    _applies("quantization.noise_probability", When("quantization.training", among=("noise",))),
    # The activations' observer is minmax by now where activations are floats.
    _applies(
        "quantization.percentile",
        When("quantization.observer", among=("percentile",)),
        When("quantization.activation_observer", among=("percentile",)),
    ),
    _applies(
        "quantization.calibration_images",
        When("quantization.activations", among=("int8",)),
        When("quantization.bias_correction", among=(True,)),
        When("quantization.rounding", not_among=("nearest",)),
        When("quantization.allocation", among=("sensitivity",)),
    ),
)
"""In an order in which every rule reads fields that earlier rules have dealt with."""

REFUSED: tuple[Refused, ...] = (
    Refused(
        value=When("weight_sharing.index_bits", among=(1,)),
        beside=either(
            When("sparsity.sparsity", above=0), When("sparsity.pattern", not_among=("",))
        ),
        instead=2,
        why="zeros take one of the two values",
        way_out="use at least 2 bits, or let sparsity be 0",
    ),
    Refused(
        value=When("quantization.activations", among=("int8",)),
        beside=either(When("quantization.weight_bits", among=(16,))),
        instead="float",
        why="an integer kernel multiplies weights of 8 bits at most",
        way_out="let activations be 'float', or weight_bits be at most 8",
    ),
    Refused(
        value=When("quantization.granularity", among=("group",)),
        beside=either(When("quantization.activations", among=("int8",))),
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
"""Every combination of values, each of them allowed alone, that a config or a step refuses."""
