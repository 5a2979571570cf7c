"""What a trial works with: its data, its device, its seed, and the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from compress.network.network import Members, Network, ShouldStop, never
from compress.tasks.images import ImageData
from compress.tasks.task import Task
from compress.training.distillation.teacher import TeacherLogits
from compress.values.schedule import Augment

_SMALL_DATASET = 20_000
_SMALL_BATCH = 64
_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """What a trial works with.

    ``task`` is what the network is for. ``teacher`` is the baseline, ``uploaded_teacher`` a model
    that was uploaded to teach; ``cache_folder`` keeps the logits of both between trials,
    ``teacher_views`` of the training images each (None: by their number, see ``TeacherLogits``).
    ``members`` makes smaller members of the network's family (None: it is of no family), and
    ``supernet`` is a trained network that they may be slices of. ``augment`` is how training images
    are varied wherever nothing else says it: where techniques train or BatchNorm is measured.
    ``should_stop`` is asked by every step that takes long.
    """

    task: Task
    data: ImageData
    device: torch.device
    seed: int
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
        """Images of one training step."""
        return _SMALL_BATCH if len(self.data.train) <= _SMALL_DATASET else _BATCH

    @cached_property
    def teacher_logits(self) -> TeacherLogits | None:
        """The baseline's answers on the training images; computed when first asked for."""
        return self._logits_of(self.teacher)

    @cached_property
    def uploaded_teacher_logits(self) -> TeacherLogits | None:
        """The uploaded teacher's answers on the training images."""
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
    """The GPU if there is one, else the CPU; a GPU computes as reproducibly as a CPU from then on.

    That is a setting of the whole process. Left alone, cuDNN sums gradients in an order that
    changes from run to run, and rounds the factors of a float32 convolution to 10 bits (TF32): the
    same seed would give other weights, and a network would not answer as its file does.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")
