"""The parts of a task: how its data comes in, what is learned from it, and how answers count.

Legend: N examples, B examples of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.tasks.images import ImageData, Images
from compress.tasks.names import TaskName
from compress.values.measurement import Metric
from compress.values.schedule import Augment, Augmented


class View(Protocol):
    """How examples are varied: drawn once for a whole split, so that it can be repeated."""

    def to(self, device: torch.device) -> View:
        """Return the same view on another device."""
        ...

    def take(self, rows_B: Tensor) -> View:
        """Return the view of some of the examples."""
        ...

    def apply(self, x_BCHW: Tensor) -> Tensor:
        """Return the normalised examples as the view shows them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples of a step as they are stored, and the view through which the step sees them."""

    rows_B: Tensor
    x_BCHW: Tensor
    labels_B: Tensor
    view: View | None = None


class Task(ABC):
    """What a network is for, in one frozen object.

    A subclass gives every part; ``compress.tasks.registry`` refuses one that lacks any when it is
    imported.

    Attributes:
        name: What datasets and jobs call it.
        primary: The metric that a measurement keeps as ``accuracy``, from 0 to 1; higher is better.
        view_revision: Raised whenever the same draw shows other examples. Cached outputs of
            teachers carry it in their names.
    """

    name: ClassVar[TaskName]
    primary: ClassVar[Metric]
    view_revision: ClassVar[int]

    @abstractmethod
    def load(self, path: Path) -> ImageData:
        """Read a dataset's file into memory. Raises InvalidData."""

    @abstractmethod
    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch for which the network gave these outputs, float32."""

    @abstractmethod
    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> Mapping[Metric, float]:
        """Return every metric of finite outputs on at least one example, ``primary`` among them."""

    @abstractmethod
    def class_correct(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[np.int64]
    ) -> tuple[int, ...]:
        """Count the right answers of each class; empty for a task without classes."""

    @abstractmethod
    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the share of examples, 0 to 1, that are answered as the reference answers them.

        With ``tie``, one number or one per example, an answer also agrees if the reference rates it
        no further than that below its own.
        """

    @abstractmethod
    def decided(self, augment: Augment, images: Images) -> Augmented:
        """Decide how training examples are varied if ``augment`` leaves it to the examples."""

    @abstractmethod
    def explained(self, augment: Augment, images: Images) -> str:
        """Say what ``decided`` makes of it, and why, for the notes of a measurement."""

    @abstractmethod
    def augment(
        self, x_NCHW: Tensor, generator: torch.Generator, *, augmented: Augmented
    ) -> View | None:
        """Draw how a batch is varied, which may be a whole split; None if it stays as it is."""

    def score(self, outputs_NK: Tensor, labels_N: Tensor) -> float:
        """Return the primary metric of outputs that are on the CPU."""
        return self.quality(outputs_NK.numpy(), labels_N.numpy())[self.primary]
