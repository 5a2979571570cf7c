"""What a network learns from while it trains: labels, kept answers, or a teacher that runs along.

The three have the same verbs, so the training loop asks no questions.

Legend: N images, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from compress.network.network import Network, ShouldStop
from compress.network.running import foreign
from compress.tasks.task import Batch, Task, View
from compress.training import inference
from compress.training.distillation.comparison import Comparison
from compress.training.distillation.loss import distillation_loss
from compress.training.distillation.running_average import RunningAverage
from compress.training.distillation.settings import Teaching
from compress.training.distillation.teacher import TeacherLogits
from compress.training.precision import Precision
from compress.values.schedule import Augmented


class TrainingObjective(Protocol):
    """What the training loop asks of what it learns from."""

    trained: nn.ModuleList
    """What is trained along with the network and left behind."""

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """How an epoch, counted from zero, sees the images; ``draw`` makes a fresh view."""
        ...

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch on which the network has just answered these logits."""
        ...

    def stepped(self) -> None:
        """The network has changed by one step."""
        ...

    def close(self) -> None:
        """The training is over: let go of the network."""
        ...


class Labels:
    """The labels and nothing else."""

    def __init__(self, task: Task) -> None:
        self.trained = nn.ModuleList()
        self.task = task

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """A fresh view in every epoch."""
        return draw()

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """The loss of the task."""
        return self.task.loss(logits_BK, batch)

    def stepped(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class CachedLogits:
    """A teacher's raw logits on fixed views, computed once for all candidates of a job."""

    def __init__(
        self,
        teacher: TeacherLogits,
        config: Teaching,
        *,
        task: Task,
        device: torch.device,
        augmented: Augmented,
        should_stop: ShouldStop,
    ) -> None:
        self.trained = nn.ModuleList()
        self._teacher = teacher
        self._config = config
        self._task = task
        self._device = device
        self._augmented: Augmented = augmented
        self._should_stop = should_stop
        self._logits_NK = torch.empty(0)

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """The fixed views in turn; loads or computes the teacher's answers."""
        number, augment = epoch % self._teacher.num_views, self._augmented
        view = self._teacher.view(number, augment=augment)
        logits_NK = self._teacher.logits(number, augment=augment, should_stop=self._should_stop)
        self._logits_NK = logits_NK.to(self._device)
        return view.to(self._device) if view else None

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Labels and answers, shared by the weight."""
        teacher_BK = self._logits_NK.index_select(0, batch.rows_B)
        return distillation_loss(
            logits_BK,
            teacher_BK,
            batch.labels_B,
            self._config,
            hard=self._task.loss(logits_BK, batch),
        )

    def stepped(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class OnlineTeacher:
    """A teacher that runs in every step on the images of that step.

    For feature maps, which are too large to keep, and for a teacher that learns too. Costs a
    forward pass of the teacher per step, about a third of a step of a student of its size.
    """

    def __init__(
        self,
        student: Network,
        teacher: Network | None,
        config: Teaching,
        *,
        task: Task,
        x_BCHW: Tensor,
        precision: Precision,
    ) -> None:
        """Watch a student that is on its device already; ``x_BCHW`` are some raw images there.

        Without a teacher it is the student's own running average. Raises InvalidCandidate where
        the two have no feature maps to compare.
        """
        self._config = config
        self._task = task
        self._precision: Precision = precision
        self._average: RunningAverage | None = None
        if teacher is None:
            self._average = RunningAverage(student.module)
            self._module = self._average.module
        else:
            self._module = inference.copied_to(x_BCHW.device, teacher).eval()
        self._prepare = inference.preparation_of(teacher or student, x_BCHW.device)
        self._comparison = self._compare(student, x_BCHW) if config.compares_features else None
        self.trained = self._comparison.regressors if self._comparison else nn.ModuleList()

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """A fresh view in every epoch: the teacher sees it too."""
        return draw()

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Labels and answers, shared by the weight, and the features on top."""
        bf16 = self._precision == "bf16"
        with torch.no_grad(), torch.autocast(logits_BK.device.type, torch.bfloat16, enabled=bf16):
            teacher_BK = foreign.run(self._module, self._prepare(batch.x_BCHW, batch.view))
        loss = distillation_loss(
            logits_BK,
            teacher_BK.float(),
            batch.labels_B,
            self._config,
            hard=self._task.loss(logits_BK, batch),
        )
        if self._comparison is None:
            return loss
        return loss + self._config.feature_weight * self._comparison.loss()

    def stepped(self) -> None:
        """The running average follows the student."""
        if self._average is not None:
            self._average.follow()

    def close(self) -> None:
        """Let go of the student."""
        if self._comparison is not None:
            self._comparison.close()

    def _compare(self, student: Network, x_BCHW: Tensor) -> Comparison:
        prepare = inference.preparation_of(student, x_BCHW.device)
        return Comparison(
            student.module,
            self._module,
            kind=self._config.features,
            student_x=prepare(x_BCHW),
            teacher_x=self._prepare(x_BCHW),
        )
