"""Images and their labels, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from compress.network.signature import ExampleShape
from compress.tasks import mirror_symmetry
from compress.tasks.formats.words import Words
from compress.tasks.mirror_symmetry import MirrorSymmetry


@dataclass(frozen=True, kw_only=True)
class Images:
    """One split in memory: raw values ``x_NCHW``, and what they are answered by.

    Values are uint8, float32 or, of ids, int32. ``y_N`` are classes (int64), labels ``(N, K)``
    (uint8), numbers ``(N, T)`` (float32), tags ``(N, L)`` (int64), or outputs of the baseline
    (float32).
    """

    x_NCHW: Tensor
    y_N: Tensor

    def __len__(self) -> int:
        """The number of images."""
        return int(self.y_N.shape[0])

    @cached_property
    def mirror_symmetry(self) -> MirrorSymmetry:
        """Whether mirrored images still look like their classes, measured on first use."""
        return mirror_symmetry.measure(self.x_NCHW.cpu(), self.y_N.cpu())


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A dataset in memory.

    ``test`` is None if the file has no such split; ``class_names``, in the order of the classes, is
    empty if it has none. ``perturbed`` is a copy of validation, row by row, of texts with typos and
    the like, and ``words`` is what ids stand for; both are None for other data.
    """

    train: Images
    validation: Images
    test: Images | None
    num_classes: int
    class_names: tuple[str, ...] = ()
    perturbed: Images | None = None
    words: Words | None = None

    @property
    def input_shape(self) -> ExampleShape:
        """The shape of one example; that of an image is ``(C, H, W)``."""
        return tuple(self.train.x_NCHW.shape[1:])
