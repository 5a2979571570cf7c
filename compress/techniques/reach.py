"""What each technique can work on in a network that is only described. Torch-free.

``compress.network.running.coverage`` says afterwards what a candidate really covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from compress.network.outline import MATRICES
from compress.techniques.description.technique import Technique
from compress.techniques.registry import TECHNIQUES

_MOST_LEFT = 32
_CHANNELS = "channels cannot leave"
_MATRICES = "their weights are no matrices to techniques"
_WORDS = "only tables of words lose words"
_TABLE = "embedding"
_FACTORS = "only linear layers, tables and ungrouped convolutions of two axes have factors"


@dataclass(frozen=True, kw_only=True)
class DescribedLayer:
    """A layer with a weight: its name, how many parameters it has, and what can be done with it."""

    name: str
    parameters: int
    has_view: bool
    loses_channels: bool
    has_factors: bool
    is_table: bool = False

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> DescribedLayer:
        """Read a row of a table of layers; where it does not say, the kind of the layer tells."""
        is_matrix = row["kind"] in MATRICES
        has_view, loses = row.get("has_view"), row.get("loses_channels")
        has_view = is_matrix if has_view is None else has_view
        factors = row.get("has_factors")
        return cls(
            name=row["name"],
            parameters=row["parameters"],
            has_view=has_view,
            loses_channels=is_matrix if loses is None else loses,
            has_factors=has_view if factors is None else factors,
            is_table=row["kind"] == _TABLE,
        )


class TechniqueReach(BaseModel, frozen=True, extra="forbid"):
    """What a technique can do with a network, and what it leaves alone."""

    technique: str
    layers: int = Field(description="Layers that it can change.")
    parameters: float = Field(description="The share of the parameters that these hold, 0 to 1.")
    left: tuple[str, ...] = Field(default=(), description="Layers that it leaves as they are.")
    reason: str = Field(default="", description="Why it leaves them, or can do nothing at all.")


def reaches(layers: Sequence[DescribedLayer], *, is_family: bool) -> tuple[TechniqueReach, ...]:
    """Say for every technique what it can work on, in the order in which they are applied."""
    return tuple(_reach(technique, layers, is_family=is_family) for technique in TECHNIQUES)


def _reach(
    technique: Technique, layers: Sequence[DescribedLayer], *, is_family: bool
) -> TechniqueReach:
    if technique.needs_members and not is_family:
        return TechniqueReach(
            technique=technique.name,
            layers=0,
            parameters=0.0,
            reason="only networks of a family have members",
        )
    left = [layer for layer in layers if not _works_on(technique, layer)]
    reached = [layer for layer in layers if layer not in left]
    total = sum(layer.parameters for layer in layers)
    why = _FACTORS if technique.needs_factors else _MATRICES
    why = _CHANNELS if "channels" in technique.acts_on else why
    why = _WORDS if "words" in technique.acts_on else why
    return TechniqueReach(
        technique=technique.name,
        layers=len(reached),
        parameters=sum(layer.parameters for layer in reached) / total if total else 1.0,
        left=tuple(layer.name for layer in left[:_MOST_LEFT]),
        reason=why if left else "",
    )


def _works_on(technique: Technique, layer: DescribedLayer) -> bool:
    """Whether a technique, of which the members do not tell, can change a layer."""
    if technique.needs_members:
        return True
    if "channels" in technique.acts_on:
        return layer.loses_channels
    if "words" in technique.acts_on:
        return layer.is_table
    if technique.needs_factors:
        return layer.has_factors
    return layer.has_view or "weights" not in technique.acts_on
