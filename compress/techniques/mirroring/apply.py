"""Apply mirroring: nothing changes now, the file will answer with a mean."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.mirroring.config import Mirroring
from compress.training.context import TrialContext


def apply(compressed: CompressedModel, config: Mirroring, context: TrialContext) -> CompressedModel:
    """The same network, to be exported so; a recovery trains it on single views."""
    if config.has_effect:
        return compressed.after(config)
    note = "mirroring: flip is none, the image itself is the only view"
    return compressed.evolve(notes=(*compressed.notes, note))
