"""Which techniques go together: one typed relation for every pair, first before second.

Composing means that the second works on what the first has made, and neither takes anything from
the other. Where the first decides fields of the second, those fields count for nothing ``unless``
its condition holds (``compress.techniques.rules.conditional_fields`` carries it out). Techniques
that exclude each other cannot be in one job.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from compress.techniques.rules.conditions import Condition, When, either

Kind = Literal["composes", "decides", "excludes"]

WEIGHT_FIELDS = (
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
"""The fields of quantization that are about weights, not activations."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What a technique is to one that comes after it."""

    first: str
    second: str
    kind: Kind
    why: str
    fields: tuple[str, ...] = ()
    """Fields of the second that the first decides."""
    unless: Condition = ()
    """Where they are left to the second after all."""


def _composes(first: str, second: str, why: str) -> Relation:
    return Relation(first=first, second=second, kind="composes", why=why)


RELATIONS: tuple[Relation, ...] = (
    _composes(
        "family_member",
        "filter_pruning",
        "Ratios are shares of the channels that the member has left.",
    ),
    _composes(
        "family_member", "low_rank", "The layers of the member are split, not those of the network."
    ),
    _composes("family_member", "distillation", "The member learns from the whole network."),
    _composes("family_member", "sparsity", "The share of zeros is one of the member's weights."),
    _composes("family_member", "weight_sharing", "The layers of the member get codebooks."),
    _composes("family_member", "quantization", "The layers of the member get grids."),
    _composes(
        "filter_pruning", "low_rank", "Layers are split after their channels have left; ranks fall."
    ),
    _composes(
        "filter_pruning",
        "distillation",
        "The teacher teaches in recovery; what pruning trains itself has labels only.",
    ),
    _composes(
        "filter_pruning", "sparsity", "The share of zeros is one of the weights that are left."
    ),
    _composes("filter_pruning", "weight_sharing", "The channels that are left get codebooks."),
    _composes("filter_pruning", "quantization", "The channels that are left get grids."),
    _composes("low_rank", "distillation", "The factors are trained like any other layer."),
    _composes(
        "low_rank", "sparsity", "The factors get masks; a pattern of N:M has to divide the ranks."
    ),
    _composes("low_rank", "weight_sharing", "Every factor gets a codebook of its own."),
    _composes("low_rank", "quantization", "Every factor gets a grid of its own."),
    _composes("distillation", "sparsity", "The masked network learns from the teacher."),
    _composes(
        "distillation", "weight_sharing", "The network learns with the values of its codebooks."
    ),
    _composes("distillation", "quantization", "The rounded network learns from the teacher."),
    Relation(
        first="sparsity",
        second="weight_sharing",
        kind="decides",
        why="Zeros take one value of every codebook, so an index needs at least 2 bits.",
        fields=("index_bits",),
        unless=((When("sparsity.sparsity", among=(0.0,)), When("sparsity.pattern", among=("",))),),
    ),
    _composes(
        "sparsity", "quantization", "Zeros stay zeros on every grid; 1 bit becomes -1, 0 and 1."
    ),
    Relation(
        first="weight_sharing",
        second="quantization",
        kind="decides",
        why="A weight with a codebook takes its value from there; quantization adds activations.",
        fields=WEIGHT_FIELDS,
        unless=either(
            When("weight_sharing.index_bits", among=(0,)),
            When("weight_sharing.exclude", not_among=("",)),
        ),
    ),
    _composes("family_member", "mirroring", "The member answers for every view."),
    _composes("filter_pruning", "mirroring", "The channels that are left answer for every view."),
    _composes("low_rank", "mirroring", "The factors answer for every view."),
    _composes("distillation", "mirroring", "The network learns from single views of an image."),
    _composes("sparsity", "mirroring", "Zeros are zeros for every view; nothing is stored twice."),
    _composes("weight_sharing", "mirroring", "One codebook decodes the weights of all views."),
    _composes(
        "quantization", "mirroring", "The views share one grid, chosen for images as they come."
    ),
)


def between(first: str, second: str) -> Relation:
    """The relation of two techniques, the earlier one first. Raises KeyError for any other pair."""
    return _BY_PAIR[first, second]


def conflict(
    techniques: Collection[str], relations: Collection[Relation] = RELATIONS
) -> Relation | None:
    """The first relation by which two of these techniques exclude each other."""
    excluding = (relation for relation in relations if relation.kind == "excludes")
    return next((r for r in excluding if {r.first, r.second} <= set(techniques)), None)


_BY_PAIR = {(relation.first, relation.second): relation for relation in RELATIONS}
