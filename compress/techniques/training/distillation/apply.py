"""Apply distillation: the network stays as it is, and its recovery learns from a teacher."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.training.distillation.config import Distillation
from compress.training.context import TrialContext


def apply(
    compressed: CompressedModel, config: Distillation, context: TrialContext
) -> CompressedModel:
    """Return the same network, to be recovered with this loss.

    Whether the context has the teacher is checked when the recovery starts, because a trial
    without recovery needs none.
    """
    if config.has_effect:
        return compressed.after(config)
    note = "distillation: its weights are 0, only the labels are learnt from"
    return compressed.evolve(notes=(*compressed.notes, note))
