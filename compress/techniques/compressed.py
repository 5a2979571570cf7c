"""A network on its way from a candidate to a file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compress.network.network import Network
from compress.techniques.distillation.config import Distillation
from compress.techniques.mirroring.config import THE_IMAGE, Views
from compress.techniques.quantization.config import Quantization


@dataclass(frozen=True, kw_only=True)
class CompressedModel:
    """A network on its way to a file: what changes it has, what the file adds still to come."""

    network: Network
    quantization: Quantization | None = None
    distillation: Distillation | None = None
    notes: tuple[str, ...] = ()
    epochs: int = 0
    train_images_per_second: float | None = None
    views: Views = THE_IMAGE
    """What the file averages over."""

    def evolve(self, **changes: object) -> CompressedModel:
        """A copy with some fields changed."""
        return replace(self, **changes)
