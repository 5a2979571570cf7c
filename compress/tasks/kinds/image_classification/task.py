"""Image classification: one label per image, which may be cropped and mirrored in training.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from compress.tasks import loading
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification import augmentation
from compress.tasks.kinds.single_label.task import SingleLabel
from compress.tasks.task import View
from compress.values.schedule import Augment, Augmented


@dataclass(frozen=True)
class ImageClassification(SingleLabel):
    """Images of one shape, each of one class; the answer is the class with the largest logit."""

    name = "image_classification"
    view_revision = augmentation.REVISION

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path)

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
