"""Classification of arrays: rows of tables, series, spectrograms, features, ids of tokens.

Nothing is known of what their axes mean, so examples are never varied.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from compress.tasks import loading
from compress.tasks.images import ImageData, Images
from compress.tasks.single_label.task import SingleLabel
from compress.tasks.task import View
from compress.values.schedule import Augment, Augmented


@dataclass(frozen=True)
class Classification(SingleLabel):
    """Arrays of one shape, each of one class; the answer is the class with the largest logit."""

    name = "classification"
    view_revision = 1

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)

    def decided(self, augment: Augment, images: Images) -> Augmented:
        """Leave all examples as they are, whatever is asked: jobs that ask are refused."""
        return "none"

    def explained(self, augment: Augment, images: Images) -> str:
        """Say that nothing is varied."""
        return "augmentation: none: only images are varied"

    def augment(
        self, x_NCHW: Tensor, generator: torch.Generator, *, augmented: Augmented
    ) -> View | None:
        """Draw nothing: examples stay as they are."""
        return None
