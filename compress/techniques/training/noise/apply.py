"""Apply noise: the network stays as it is, and its recovery meets the noise."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.training.noise.config import NoiseInTraining
from compress.training.context import TrialContext


def apply(
    compressed: CompressedModel, config: NoiseInTraining, context: TrialContext
) -> CompressedModel:
    """Return the same network, to be recovered with this noise."""
    if config.has_effect:
        return compressed.after(config)
    note = (
        "noise: word_dropout and embedding_noise are 0, nothing is added to what the recovery does"
    )
    return compressed.evolve(notes=(*compressed.notes, note))
