"""The names of the tasks that a network may be for. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

TaskName: TypeAlias = Literal[
    "image_classification",
    "classification",
    "multilabel",
    "regression",
    "text_classification",
    "text_matching",
    "sequence_labelling",
    "unlabelled",
]
"""What datasets and jobs may say; ``compress.tasks.registry`` has a task for every name."""
Comparison: TypeAlias = Literal["distribution", "cosine", "relative"]
"""How an output is compared: as chances along its last axis, by its direction, or by its size."""
FIRST_TASK: TaskName = "image_classification"
"""That of all documents which are older than the field."""
EXAMPLES: Mapping[TaskName, str] = {
    "image_classification": "images",
    "classification": "examples",
    "multilabel": "examples",
    "regression": "examples",
    "text_classification": "texts",
    "text_matching": "pairs",
    "sequence_labelling": "sentences",
    "unlabelled": "examples",
}
"""What people call the examples of a task."""
ANSWERS: Mapping[TaskName, str] = {
    "multilabel": "labels",
    "regression": "numbers to predict",
    "sequence_labelling": "tags",
}
"""What people call what examples are answered with, if it is no class."""
TEXT_TASKS: frozenset[TaskName] = frozenset(
    {"text_classification", "text_matching", "sequence_labelling"}
)
"""Tasks whose examples are rows of ids of words."""
_OF_CLASSES = (
    "accuracy",
    "top5_accuracy",
    "macro_f1",
    "balanced_accuracy",
    "least_recall",
    "calibration_error",
)
TASK_METRICS: Mapping[TaskName, tuple[str, ...]] = {
    "image_classification": _OF_CLASSES,
    "classification": _OF_CLASSES,
    "multilabel": ("micro_f1", "macro_f1", "exact_match", "mean_average_precision"),
    "regression": ("r2", "mae", "mse", "spearman"),
    "text_classification": _OF_CLASSES,
    "text_matching": _OF_CLASSES,
    "sequence_labelling": ("entity_f1", "token_accuracy"),
    "unlabelled": ("agreement", "cosine", "relative_error", "divergence"),
}
"""Every metric of a task's answers; the first is the primary one, which is 1 at best."""
