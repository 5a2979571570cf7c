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
    return compressed.after(config) if config.has_effect else compressed
