"""The context of a trial: its task, its data, its device, its seed, and the teachers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from compress.network.network import Members, Network, ShouldStop, never
from compress.tasks.images import ImageData
from compress.tasks.registry import IMAGE_CLASSIFICATION
from compress.tasks.task import Task
from compress.training.distillation.teacher import TeacherLogits
from compress.values.schedule import Augment

_SMALL_DATASET = 20_000
_SMALL_BATCH = 64
_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """Everything that a trial works with.

    ``task`` is what the network is for, that of ``data``. ``teacher`` is the baseline,
    ``uploaded_teacher`` a model that was uploaded to teach. ``cache_folder`` keeps the logits of
    both between trials, and ``teacher_views`` is the number of views of the training images that
    they answer (None: chosen by the number of images, see ``TeacherLogits``). ``members`` makes
    smaller members of the network's family (None if it is of no family), and ``supernet`` is a
    trained network of which they may be slices. ``augment`` is how training images are augmented
    unless a schedule says otherwise: when techniques train and when BatchNorm is measured.
    ``should_stop`` is polled by every long step.
    """

    data: ImageData
    device: torch.device
    seed: int
    task: Task = IMAGE_CLASSIFICATION
    teacher: Network | None = None
    uploaded_teacher: Network | None = None
    members: Members | None = None
    supernet: Network | None = None
    cache_folder: Path | None = None
    teacher_views: int | None = None
    augment: Augment = "auto"
    should_stop: ShouldStop = never

    @property
    def batch_size(self) -> int:
        """The number of images in a training step."""
        return _SMALL_BATCH if len(self.data.train) <= _SMALL_DATASET else _BATCH

    @cached_property
    def teacher_logits(self) -> TeacherLogits | None:
        """The baseline's logits for the training images, computed on first use."""
        return self._logits_of(self.teacher)

    @cached_property
    def uploaded_teacher_logits(self) -> TeacherLogits | None:
        """The uploaded teacher's logits for the training images, computed on first use."""
        return self._logits_of(self.uploaded_teacher)

    def _logits_of(self, network: Network | None) -> TeacherLogits | None:
        if network is None:
            return None
        return TeacherLogits(
            network,
            self.data.train,
            task=self.task,
            device=self.device,
            folder=self.cache_folder,
            num_views=self.teacher_views,
        )


def choose_device() -> torch.device:
    """Return the GPU if there is one, else the CPU, and make a GPU compute reproducibly.

    That is a setting of the whole process. By default, cuDNN sums gradients in an order that
    changes from run to run, and rounds the factors of a float32 convolution to 10 bits (TF32): the
    same seed would give different weights, and a network would not answer as its file does.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")
