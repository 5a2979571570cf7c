"""Apply noise: the network stays as it is, and its recovery meets the noise."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.training.noise.config import NoiseInTraining
from compress.training.context import TrialContext


def apply(
    compressed: CompressedModel, config: NoiseInTraining, context: TrialContext
) -> CompressedModel:
    """Return the same network, to be recovered with this noise."""
    return compressed.after(config) if config.has_effect else compressed
