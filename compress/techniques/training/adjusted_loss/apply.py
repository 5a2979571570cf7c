"""Apply the loss: the network stays as it is, and its recovery learns with it."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.training.adjusted_loss.config import AdjustedLoss
from compress.training.context import TrialContext


def apply(
    compressed: CompressedModel, config: AdjustedLoss, context: TrialContext
) -> CompressedModel:
    """Return the same network, to be recovered with this loss.

    Raises InvalidCandidate for a task that tells no classes.
    """
    context.task.adjusted(config.settings)
    if config.has_effect:
        return compressed.after(config)
    note = "adjusted_loss: every field is at its usual value, the loss is plain cross-entropy"
    return compressed.evolve(notes=(*compressed.notes, note))
