"""Every technique, in the one order in which they compose. Adding a line here is all it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from compress.techniques.distillation.config import Distillation
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization

TechniqueConfig = Annotated[
    FamilyMember | FilterPruning | Distillation | Quantization,
    Field(discriminator="technique"),
]


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One line of the catalog."""

    name: str
    config: type[FamilyMember] | type[FilterPruning] | type[Distillation] | type[Quantization]
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
        summary="Remove whole channels by importance, one ratio per stage.",
    ),
    Technique(
        name="distillation",
        config=Distillation,
        summary="Recover with the baseline as the teacher.",
    ),
    Technique(
        name="quantization",
        config=Quantization,
        summary="Store weights in 8 or 4 bits and compute in 8-bit integers.",
    ),
)

BY_NAME: dict[str, Technique] = {technique.name: technique for technique in TECHNIQUES}
ORDER: dict[str, int] = {technique.name: rank for rank, technique in enumerate(TECHNIQUES)}
