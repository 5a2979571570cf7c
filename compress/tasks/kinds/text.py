"""Texts and pairs of texts, as rows of ids of words, each of one class.

An example is ``(L,)`` ids, or ``(2, L)`` for a pair; 0 pads, 1 is the unknown word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.tasks import loading
from compress.tasks.images import ImageData
from compress.tasks.kinds.single_label.task import SingleLabel


@dataclass(frozen=True)
class TextClassification(SingleLabel):
    """Texts of one class each."""

    name = "text_classification"
    view_revision = 1

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)


@dataclass(frozen=True)
class TextMatching(SingleLabel):
    """Pairs of texts, of one class each: the same or not, entailed or contradicted."""

    name = "text_matching"
    view_revision = 1

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)
