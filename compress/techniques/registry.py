"""Every technique, in the one order in which they compose. Adding a line here is all it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from compress.techniques.distillation.config import Distillation
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.mirroring.config import Mirroring
from compress.techniques.quantization.config import Quantization
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.weight_sharing.config import WeightSharing

TechniqueConfig = Annotated[
    FamilyMember
    | FilterPruning
    | LowRank
    | Distillation
    | Sparsity
    | WeightSharing
    | Quantization
    | Mirroring,
    Field(discriminator="technique"),
]


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One line of the catalog."""

    name: str
    config: type[BaseModel]
    summary: str


TECHNIQUES: tuple[Technique, ...] = (
    Technique(
        name="family_member",
        config=FamilyMember,
        summary="Start from a narrower, shallower member of the network's own family.",
    ),
    Technique(
        name="filter_pruning",
        config=FilterPruning,
        summary="Remove whole channels, the least important ones.",
    ),
    Technique(
        name="low_rank",
        config=LowRank,
        summary="Split layers into thinner ones that do nearly the same.",
    ),
    Technique(
        name="distillation",
        config=Distillation,
        summary="Recover with a teacher's answers beside the labels.",
    ),
    Technique(
        name="sparsity",
        config=Sparsity,
        summary="Set single weights to zero, anywhere or N of M.",
    ),
    Technique(
        name="weight_sharing",
        config=WeightSharing,
        summary="Let weights choose from a small codebook per layer.",
    ),
    Technique(
        name="quantization",
        config=Quantization,
        summary="Store weights in 1 to 8 bits or 16; compute in 8-bit integers or in float.",
    ),
    Technique(
        name="mirroring",
        config=Mirroring,
        summary="Answer with the mean over the image and its mirror image.",
    ),
)

BY_NAME: dict[str, Technique] = {technique.name: technique for technique in TECHNIQUES}
ORDER: dict[str, int] = {technique.name: rank for rank, technique in enumerate(TECHNIQUES)}
