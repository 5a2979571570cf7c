"""Apply mirroring: the network stays as it is, and its file averages over views."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.mirroring.config import Mirroring
from compress.training.context import TrialContext


def apply(compressed: CompressedModel, config: Mirroring, context: TrialContext) -> CompressedModel:
    """Return the same network, exported later with its views; a recovery trains on single views."""
    if config.has_effect:
        return compressed.after(config)
    note = "mirroring: flip is none, the image itself is the only view"
    return compressed.evolve(notes=(*compressed.notes, note))
