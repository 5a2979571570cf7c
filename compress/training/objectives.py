"""What a network learns from while it trains: labels, cached logits, or a teacher that runs along.

All objectives have the same methods, so the training loop does not distinguish between them.

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
    """What the training loop needs from an objective."""

    trained: nn.ModuleList
    """What is trained along with the network and left behind."""

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """Return the view of an epoch, counted from zero; ``draw`` makes a fresh one."""
        ...

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch for which the network has just computed these logits."""
        ...

    def stepped(self) -> None:
        """Take note that the network has changed by one step."""
        ...

    def close(self) -> None:
        """Release the network after the training."""
        ...


class Labels:
    """Learns from the labels alone."""

    def __init__(self, task: Task) -> None:
        self.trained = nn.ModuleList()
        self.task = task

    def view(self, epoch: int, draw: Callable[[], View | None]) -> View | None:
        """Draw a fresh view in every epoch."""
        return draw()

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the task's loss."""
        return self.task.loss(logits_BK, batch)

    def stepped(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class CachedLogits:
    """Learns from a teacher's raw logits on fixed views, computed once for a whole job."""

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
        """Return the fixed views in turn, and load or compute the teacher's logits for them."""
        number, augment = epoch % self._teacher.num_views, self._augmented
        view = self._teacher.view(number, augment=augment)
        logits_NK = self._teacher.logits(number, augment=augment, should_stop=self._should_stop)
        self._logits_NK = logits_NK.to(self._device)
        return view.to(self._device) if view else None

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the weighted sum of the labels' loss and the teacher's."""
        teacher_BK = self._logits_NK.index_select(0, batch.rows_B)
        return distillation_loss(
            logits_BK,
            teacher_BK,
            batch.labels_B,
            self._config,
            hard=self._task.loss(logits_BK, batch),
            answers=self._task.answers,
        )

    def stepped(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OnlineTeacher:
    """Learns from a teacher that runs in every step on the images of that step.

    It is used for feature maps, which are too large to cache, and for a teacher that learns too. It
    costs a forward pass of the teacher per step, about a third of a step of a student of its size.
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
        """Watch a student that is already on its device; ``x_BCHW`` are some raw images there.

        Without a teacher, the student's own running average teaches. Raises InvalidCandidate if
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
        """Draw a fresh view in every epoch; the teacher sees the same one."""
        return draw()

    def loss(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the weighted sum of the labels' loss and the teacher's, plus the feature loss."""
        bf16 = self._precision == "bf16"
        with torch.no_grad(), torch.autocast(logits_BK.device.type, torch.bfloat16, enabled=bf16):
            teacher_BK = foreign.run(self._module, self._prepare(batch.x_BCHW, batch.view))
        loss = distillation_loss(
            logits_BK,
            teacher_BK.float(),
            batch.labels_B,
            self._config,
            hard=self._task.loss(logits_BK, batch),
            answers=self._task.answers,
        )
        if self._comparison is None:
            return loss
        return loss + self._config.feature_weight * self._comparison.loss()

    def stepped(self) -> None:
        """Let the running average follow the student."""
        if self._average is not None:
            self._average.follow()

    def close(self) -> None:
        """Release the student."""
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
