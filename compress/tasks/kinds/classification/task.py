"""Classification of arrays: rows of tables, series, spectrograms, features, ids of tokens.

Nothing is known of what their axes mean, so examples are never varied.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.tasks import loading
from compress.tasks.images import ImageData
from compress.tasks.kinds.single_label.task import SingleLabel


@dataclass(frozen=True)
class Classification(SingleLabel):
    """Arrays of one shape, each of one class; the answer is the class with the largest logit."""

    name = "classification"
    view_revision = 1

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)
