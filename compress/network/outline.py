"""What may be asked about a network without building it. Torch-free, and of no family."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

LayerKind = Literal["conv", "pad", "norm", "linear"]


class LayerInfo(BaseModel, frozen=True, extra="forbid"):
    """One layer with a weight; a ``pad`` has one that is never trained.

    ``stage`` counts from 0 and is None in the stem and in the head. ``parameters`` are those of
    the layer and of its BatchNorm.
    """

    name: str
    kind: LayerKind
    weight_shape: tuple[int, ...]
    parameters: int
    stage: int | None


class Outline(BaseModel, frozen=True, extra="forbid"):
    """The layers of a network, in the order in which it computes them."""

    layers: tuple[LayerInfo, ...]

    def names(self, *, only_trained: bool) -> list[str]:
        """The layers' names, without those whose weights are never trained if asked."""
        return [layer.name for layer in self.layers if layer.kind != "pad" or not only_trained]
