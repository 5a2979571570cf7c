"""One label per example: learned with cross-entropy, judged by accuracy.

Legend: N examples, B examples of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.tasks import loss
from compress.tasks.answers import Answers, Classes
from compress.tasks.images import ImageData
from compress.tasks.kinds.single_label import quality
from compress.tasks.kinds.single_label.quality import ClassAnswers
from compress.tasks.task import Batch, Task
from compress.values.measurement import Metric
from compress.values.schedule import PLAIN, LossSettings


@dataclass(frozen=True)
class SingleLabel(Task):
    """The answer to an example is the class with the largest logit."""

    primary = "accuracy"
    settings: LossSettings = PLAIN
    counts: tuple[int, ...] = ()
    """Training examples of each class."""

    def of(self, data: ImageData) -> Self:
        """Count the training examples of each class."""
        counts_K = torch.bincount(data.train.y_N, minlength=data.num_classes)
        return replace(self, counts=tuple(counts_K.tolist()))

    def adjusted(self, settings: LossSettings) -> Self:
        """Return the task with another loss."""
        return replace(self, settings=settings)

    @property
    def answers(self) -> Answers:
        """Logits of exclusive classes."""
        return Classes()

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of the labels, adjusted as ``settings`` say."""
        return loss.cross_entropy(
            outputs_BK, batch.labels_B, settings=self.settings, counts=self.counts
        )

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> Mapping[Metric, float]:
        """Return every metric of ``single_label.quality``, each from 0 to 1."""
        answers = ClassAnswers(logits_NK=outputs_NK, labels_N=labels_N)
        return {metric: measured(answers) for metric, measured in quality.MEASURED.items()}

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
        """Return the accuracy alone: nothing else is looked at while a network trains."""
        return quality.accuracy(ClassAnswers(logits_NK=outputs_NK, labels_N=labels_N))

    def class_correct(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> tuple[int, ...]:
        """Count the right answers of each of the K classes."""
        return tuple(ClassAnswers(logits_NK=outputs_NK, labels_N=labels_N).correct.tolist())

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the share of examples with the reference's class.

        With ``tie``, a class also agrees if the reference rates it within that of its own best.
        """
        chosen_N = outputs_NK.argmax(axis=1)
        if tie is None:
            return float((chosen_N == reference_NK.argmax(axis=1)).mean())
        rated_N = np.take_along_axis(reference_NK, chosen_N[:, None], axis=1)[:, 0]
        return float((reference_NK.max(axis=1) - rated_N <= tie).mean())
