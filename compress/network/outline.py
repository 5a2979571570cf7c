"""What may be asked about a network without building it. Torch-free, and of no family."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from compress.network.member import Dimension
from compress.network.signature import Signature

LayerKind = Literal["conv", "pad", "norm", "linear"]


class LayerInfo(BaseModel, frozen=True, extra="forbid"):
    """One layer with a weight; a ``pad`` has one that is never trained.

    ``stage`` counts from 0 and is None in the stem and in the head. ``parameters`` are those of
    the layer and of its BatchNorm, ``macs`` the multiply-accumulates for one image.
    """

    name: str
    kind: LayerKind
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int
    stage: int | None


class Outline(BaseModel, frozen=True, extra="forbid"):
    """A network's signature, and its layers in the order in which it computes them.

    ``blocks`` counts those of every stage. ``elastic`` are the dimensions in which members of it
    may differ, in alphabetical order; none where it has no members.
    """

    signature: Signature
    layers: tuple[LayerInfo, ...]
    blocks: tuple[int, ...]
    elastic: tuple[Dimension, ...]

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers for one image."""
        return sum(layer.macs for layer in self.layers)

    def names(self, *, only_trained: bool) -> list[str]:
        """The layers' names, without those whose weights are never trained if asked."""
        return [layer.name for layer in self.layers if layer.kind != "pad" or not only_trained]
