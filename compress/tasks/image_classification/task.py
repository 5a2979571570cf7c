"""Image classification: one label per image, learned with cross-entropy, judged by accuracy.

Legend: N images, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compress.tasks import loading
from compress.tasks.image_classification import augmentation, quality
from compress.tasks.image_classification.quality import Answers
from compress.tasks.images import ImageData, Images
from compress.tasks.task import Batch, Task, View
from compress.values.measurement import Metric
from compress.values.schedule import Augment, Augmented


@dataclass(frozen=True)
class ImageClassification(Task):
    """Images of one shape, each of one class; the answer is the class with the largest logit."""

    name = "image_classification"
    primary = "accuracy"
    view_revision = augmentation.REVISION

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path)

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of the labels."""
        return functional.cross_entropy(outputs_BK, batch.labels_B)

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> Mapping[Metric, float]:
        """Return accuracy, top-5 accuracy and macro F1, each from 0 to 1."""
        answers = Answers(logits_NK=outputs_NK, labels_N=labels_N)
        return {metric: measured(answers) for metric, measured in quality.MEASURED.items()}

    def score(self, outputs_NK: Tensor, labels_N: Tensor) -> float:
        """Return the accuracy alone: nothing else is looked at while a network trains."""
        answers = Answers(logits_NK=outputs_NK.numpy(), labels_N=labels_N.numpy())
        return quality.accuracy(answers)

    def class_correct(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> tuple[int, ...]:
        """Count the right answers of each of the K classes."""
        return tuple(Answers(logits_NK=outputs_NK, labels_N=labels_N).correct.tolist())

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the share of images with the reference's class.

        With ``tie``, a class also agrees if the reference rates it within that of its own best.
        """
        chosen_N = outputs_NK.argmax(axis=1)
        if tie is None:
            return float((chosen_N == reference_NK.argmax(axis=1)).mean())
        rated_N = np.take_along_axis(reference_NK, chosen_N[:, None], axis=1)[:, 0]
        return float((reference_NK.max(axis=1) - rated_N <= tie).mean())

    def decided(self, augment: Augment, images: Images) -> Augmented:
        """Decide ``auto`` by the images' symmetry and ``by_channels`` by their channels."""
        return augmentation.settled(augment, images)

    def explained(self, augment: Augment, images: Images) -> str:
        """Say what ``decided`` makes of it, and why."""
        return augmentation.explained(augment, images)

    def augment(
        self, x_NCHW: Tensor, generator: torch.Generator, *, augmented: Augmented
    ) -> View | None:
        """Draw one shift and one flip per image; None if images stay as they are."""
        _, channels, height, width = x_NCHW.shape
        shape = (channels, height, width)
        return augmentation.draw(len(x_NCHW), shape, generator, augmented=augmented)


IMAGE_CLASSIFICATION: Final = ImageClassification()
