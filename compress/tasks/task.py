"""The parts of a task: how its data comes in, what is learned from it, and how answers count.

Legend: N examples, B examples of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.tasks.answers import Answers
from compress.tasks.images import ImageData, Images
from compress.tasks.names import TaskName
from compress.values.errors import InvalidCandidate
from compress.values.measurement import METRICS, Metric
from compress.values.schedule import Augment, Augmented, LossSettings


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
    """Examples of a step as they are stored, and the view through which the step sees them.

    ``labels_B`` are what the task's examples have: a class or numbers for each, or none.
    """

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
        primary: The metric that files are compared by unless a job names another; 1 at best.
        answers: What the outputs of a network mean, and how those of two are compared.
        view_revision: Raised whenever the same draw shows other examples. Cached outputs of
            teachers carry it in their names.
    """

    name: ClassVar[TaskName]
    primary: ClassVar[Metric]
    view_revision: ClassVar[int]

    @property
    @abstractmethod
    def answers(self) -> Answers:
        """What the outputs mean."""

    def adjusted(self, settings: LossSettings) -> Task:
        """Return the task with another loss. Raises InvalidCandidate if it tells no classes."""
        if settings.is_plain:
            return self
        raise InvalidCandidate(
            f"the loss of {self.name} has no margin, temperature, class weight or label smoothing: "
            "these are of tasks that tell classes; leave them out"
        )

    def of(self, data: ImageData) -> Task:
        """Return the task as it is for these data: what it takes from them, it takes once."""
        return self

    @abstractmethod
    def load(self, path: Path) -> ImageData:
        """Read a dataset's file into memory. Raises InvalidData."""

    @abstractmethod
    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch for which the network gave these outputs, float32."""

    @abstractmethod
    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Mapping[Metric, float]:
        """Return every metric of finite outputs on at least one example, ``primary`` among them."""

    def class_correct(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> tuple[int, ...]:
        """Count the right answers of each class; empty for a task without classes."""
        return ()

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

    def decided(self, augment: Augment, images: Images) -> Augmented:
        """Decide how training examples are varied if ``augment`` leaves it to the examples.

        Unless a task says otherwise they stay as they are: jobs that ask for more are refused.
        """
        return "none"

    def explained(self, augment: Augment, images: Images) -> str:
        """Say what ``decided`` makes of it, and why, for the notes of a measurement."""
        return "augmentation: none: only images are varied"

    def augment(
        self, x_NCHW: Tensor, generator: torch.Generator, *, augmented: Augmented
    ) -> View | None:
        """Draw how a batch is varied, which may be a whole split; None if it stays as it is."""
        return None

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]) -> float:
        """Return the primary metric alone, in its own unit."""
        return self.quality(outputs_NK, labels_N)[self.primary]

    def score(self, outputs_NK: Tensor, labels_N: Tensor) -> float:
        """Return the primary metric of outputs that are on the CPU, 0 to 1."""
        value = self.primary_of(outputs_NK.numpy(), labels_N.numpy())
        return METRICS[self.primary].as_share(value)
