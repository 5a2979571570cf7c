"""Apply distillation: nothing changes now, the recovery learns from a teacher."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.distillation.config import Distillation
from compress.training.context import TrialContext


def apply(
    compressed: CompressedModel, config: Distillation, context: TrialContext
) -> CompressedModel:
    """The same network, to be recovered with this loss.

    Whether the context has the teacher is asked when the recovery starts: a trial without one needs
    none.
    """
    if config.has_effect:
        return compressed.after(config)
    note = "distillation: its weights are 0, only the labels are learnt from"
    return compressed.evolve(notes=(*compressed.notes, note))
