"""The description of ``noise``."""

from __future__ import annotations

from compress.techniques.description.technique import Technique
from compress.techniques.training.noise.config import NoiseInTraining

TECHNIQUE = Technique(
    name="noise",
    config=NoiseInTraining,
    summary="Recover with words missing, and embeddings shaken.",
    acts_on=frozenset({"training"}),
    disabled={"word_dropout": 0.0, "embedding_noise": 0.0},
    composes={"distillation": "The teacher reads the same words as the student."},
)
