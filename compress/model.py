"""The values that flow through a trial: a network, its data, and its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from compress import mirror_symmetry
from compress.families.catalog import Normalisation
from compress.measurement import Observer
from compress.mirror_symmetry import MirrorSymmetry

ShouldStop = Callable[[], bool]
"""Asked between steps of every long operation; True makes it raise ``errors.Stopped``."""


def never() -> bool:
    """A ``ShouldStop`` for callers that never stop."""
    return False


@dataclass(frozen=True, kw_only=True)
class Network:
    """A float network on normalised input.

    ``module`` maps normalised ``x_BCHW`` to logits ``(B, num_classes)``; it is never changed in
    place: every step deep-copies it. ``input_shape`` is ``(C, H, W)``.
    """

    module: nn.Module
    normalisation: Normalisation
    input_shape: tuple[int, int, int]
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class Images:
    """One split in memory: raw values ``x_NCHW`` (uint8 or float32) and labels ``y_N`` (int64)."""

    x_NCHW: Tensor
    y_N: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return int(self.y_N.shape[0])

    @cached_property
    def mirror_symmetry(self) -> MirrorSymmetry:
        """Whether mirrored images still look like their classes; measured when first asked for."""
        return mirror_symmetry.measure(self.x_NCHW.cpu(), self.y_N.cpu())


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A dataset in memory. ``test`` is None where the file has none."""

    train: Images
    validation: Images
    test: Images | None
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        _, channels, height, width = self.train.x_NCHW.shape
        return int(channels), int(height), int(width)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A written ONNX file that has passed the parity gate."""

    path: Path
    sha256: str
    size_bytes: int
    max_abs_error: float
    agreement: float
    parity_images: int
    parameters: int
    macs: int
    activation_observer: Observer | None = None
    notes: tuple[str, ...] = ()
    equal_classes: float | None = None
