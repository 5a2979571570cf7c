"""What each technique can work on in a network that is only described. Torch-free.

``compress.techniques.coverage`` says afterwards what a candidate really covered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from compress.techniques.description.technique import Technique
from compress.techniques.registry import TECHNIQUES

_MATRICES = frozenset({"conv", "linear"})
_MOST_LEFT = 32
_OF_FAMILIES = "family_member"


@dataclass(frozen=True, kw_only=True)
class DescribedLayer:
    """A layer with a weight: its name and kind, and how many parameters it has."""

    name: str
    kind: str
    parameters: int


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
    if technique.name == _OF_FAMILIES and not is_family:
        return TechniqueReach(
            technique=technique.name,
            layers=0,
            parameters=0.0,
            reason="only networks of a family have members",
        )
    if not technique.acts_on & {"channels", "weights"} or technique.name == _OF_FAMILIES:
        return TechniqueReach(technique=technique.name, layers=len(layers), parameters=1.0)
    left = list(_left(layers))
    reached = [layer for layer in layers if layer not in left]
    total = sum(layer.parameters for layer in layers)
    words = sorted({layer.kind for layer in left})
    return TechniqueReach(
        technique=technique.name,
        layers=len(reached),
        parameters=sum(layer.parameters for layer in reached) / max(1, total),
        left=tuple(layer.name for layer in left[:_MOST_LEFT]),
        reason=f"it works on convolutions and linear layers, not on: {', '.join(words)}"
        if left
        else "",
    )


def _left(layers: Sequence[DescribedLayer]) -> Iterator[DescribedLayer]:
    return (layer for layer in layers if layer.kind not in _MATRICES)
