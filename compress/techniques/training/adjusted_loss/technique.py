"""The description of ``adjusted_loss``."""

from __future__ import annotations

from compress.techniques.description.technique import Technique
from compress.techniques.training.adjusted_loss.config import AdjustedLoss

TECHNIQUE = Technique(
    name="adjusted_loss",
    config=AdjustedLoss,
    summary="Recover with a margin, a temperature, or weights of classes in the loss.",
    acts_on=frozenset({"training"}),
    disabled={"margin": 0.0, "temperature": 1.0, "class_weight": 0.0, "label_smoothing": 0.0},
    composes={"distillation": "The adjusted loss is that of the labels; the teacher's stays."},
)
