"""The one training loop, for baselines, recovery, students and supernets, on CPU and GPU alike.

The data stays on the device as one tensor; batches are rows of it, augmented and normalised there.
Memory is channels-last if the network runs in it, and bfloat16 is used if a timed probe shows that
it pays.

Legend: N images, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from compress.network.network import Network, ShouldStop, never
from compress.network.running import foreign
from compress.tasks.images import Images
from compress.tasks.registry import IMAGE_CLASSIFICATION
from compress.tasks.task import Batch, Task, View
from compress.training import batchnorm, constraints, inference, precision
from compress.training.batchnorm import BatchNorm
from compress.training.constraints import WeightConstraint
from compress.training.distillation.settings import Teaching
from compress.training.distillation.teacher import TeacherLogits
from compress.training.inference import Preparation
from compress.training.noise import SILENT, Noise
from compress.training.objectives import (
    CachedLogits,
    Labels,
    OnlineTeacher,
    TrainingObjective,
)
from compress.training.optimiser import Adam, NesterovSGD, Optimiser
from compress.training.precision import Precision
from compress.values.errors import NumericalError, Stopped
from compress.values.schedule import Augment, Augmented

_MOST_ADVANCES = 100
"""A schedule moves in that many steps at most: each may sort every weight of the network."""

OnProgress = Callable[[int, int, float], None]
"""Told ``(epoch, epochs, mean loss)`` after every epoch, counted from 1."""


def silent(epoch: int, epochs: int, loss: float) -> None:
    """Ignore progress: the ``OnProgress`` of callers that do not listen."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """SGD with Nesterov momentum, or Adam if the network wants that (``Network.optimiser``).

    The rate rises linearly, then falls to zero along a cosine.

    Loshchilov and Hutter, arXiv:1608.03983, equation 5, without restarts. ``warmup`` is the share
    of steps in which the rate rises. ``weight_decay`` does not apply to biases, BatchNorm and what
    constraints learn. ``batchnorm_l1`` pulls the scales of BatchNorm to zero (network slimming).
    ``augment`` is how images are augmented; False means "none".
    """

    epochs: int
    seed: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.2
    augment: Augment | Literal[False] = "auto"
    distillation: Teaching | None = None
    batchnorm_l1: float = 0.0
    precision: Literal["auto"] | Precision = "auto"
    noise: Noise = SILENT


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """The callbacks with which a caller watches and stops a long training."""

    should_stop: ShouldStop = never
    on_progress: OnProgress = silent


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """The cost of a training; ``loss`` is the mean over the last epoch."""

    images_per_second: float
    seconds: float
    loss: float
    precision: Precision


def fit(  # noqa: PLR0913 - what is trained, on what and for what, by name
    network: Network,
    images: Images,
    plan: TrainingPlan,
    *,
    device: torch.device,
    task: Task = IMAGE_CLASSIFICATION,
    teacher: TeacherLogits | None = None,
    hooks: Hooks = Hooks(),
) -> tuple[Network, FitReport]:
    """Train a copy of the network. The same seed gives the same weights on the same CPU or GPU.

    Raises ValueError if distillation has no teacher, InvalidData for batches of one image if a
    BatchNorm needs two, Stopped when asked to stop, and NumericalError if the loss or a weight is
    not finite.
    """
    plan = with_augmentation(plan, images, task)
    batchnorm.check_batch(network, images.x_NCHW[: plan.batch_size], device=device)
    student = replace(network, module=inference.copied_to(device, network).train())
    images = Images(x_NCHW=images.x_NCHW.to(device), y_N=images.y_N.to(device))
    plan = with_precision(plan, student, images, task)
    objective = _objective(student, images, plan, task, teacher, hooks.should_stop)
    report = Loop(student, images, plan, task=task, objective=objective, hooks=hooks).run()
    return replace(network, module=finished(student.module)), report


def with_augmentation(plan: TrainingPlan, images: Images, task: Task) -> TrainingPlan:
    """Return the plan with its augmentation decided by the images that it will train on."""
    return replace(plan, augment=task.decided(plan.augment or "none", images))


def with_precision(
    plan: TrainingPlan, network: Network, images: Images, task: Task
) -> TrainingPlan:
    """Return the plan with precision ``auto`` decided for a network and images on their device."""
    if plan.precision != "auto":
        return plan
    prepare = inference.preparation_of(network, images.y_N.device)
    x_BCHW, labels_B = images.x_NCHW[: plan.batch_size], images.y_N[: plan.batch_size]
    rows_B = torch.arange(len(labels_B), device=labels_B.device)
    batch = Batch(rows_B=rows_B, x_BCHW=x_BCHW, labels_B=labels_B)
    chosen = precision.choose(
        network.module, prepare(x_BCHW), lambda logits_BK: task.loss(logits_BK, batch)
    )
    return replace(plan, precision=chosen)


def finished(module: nn.Module) -> nn.Module:
    """Move the module itself back to the CPU. Raises NumericalError unless all of it is finite."""
    module = inference.back_from_device(module).eval()
    for name, tensor in module.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"tensor {name!r} holds a NaN or an infinity after training")
    return module


def evaluate(
    network: Network,
    images: Images,
    device: torch.device,
    *,
    task: Task = IMAGE_CLASSIFICATION,
) -> float:
    """Return the task's primary metric, 0 to 1, of the network's answers to the images."""
    logits_NK = inference.logits(network, images.x_NCHW, device=device)
    return task.score(logits_NK, images.y_N)


def learning_rate(step: int, *, steps: int, plan: TrainingPlan) -> float:
    """Return the learning rate of a step, counted from zero."""
    rising = max(1, round(steps * plan.warmup))
    if step < rising:
        return plan.learning_rate * (step + 1) / rising
    done = (step + 1 - rising) / (steps + 1 - rising)
    return plan.learning_rate * (1 + math.cos(math.pi * done)) / 2


class Loop:
    """A training in place, of a network and on images that are both on the device.

    The plan's precision and augmentation must be decided already.
    """

    def __init__(
        self,
        network: Network,
        images: Images,
        plan: TrainingPlan,
        *,
        task: Task,
        objective: TrainingObjective,
        hooks: Hooks,
    ) -> None:
        assert plan.precision != "auto"
        self.augmented: Augmented = _settled(plan)
        self.network = network
        self.module = network.module
        self.images = images
        self.task = task
        self.plan = plan
        self.objective = objective
        self.hooks = hooks
        self.device = images.y_N.device
        self.prepare: Preparation = inference.preparation_of(network, self.device)
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.batch_size = min(plan.batch_size, len(images))
        self.steps_per_epoch = len(images) // self.batch_size
        self.steps = plan.epochs * self.steps_per_epoch
        self.precision: Precision = plan.precision
        self.constraints = [
            part for part in self.module.modules() if isinstance(part, WeightConstraint)
        ]
        self.advances_every = max(1, math.ceil(self.steps / _MOST_ADVANCES))
        self.thinned = _scales(self.module) if plan.batchnorm_l1 > 0 else []
        self.optimiser = _optimiser(network, plan, objective.trained)

    def run(self, *, first: int = 0, last: int | None = None) -> FitReport:
        """Train epochs ``first`` to ``last`` (exclusive); by default all epochs of the plan.

        Batches, views and learning rates are the same as in an uninterrupted training.
        """
        epochs = range(first, self.plan.epochs if last is None else last)
        try:
            with _seeded(self.plan.seed, self.device), self.plan.noise.shaken(self.module):
                return self._run(epochs)
        finally:
            self.objective.close()

    def _run(self, epochs: range) -> FitReport:
        loss, seconds = math.nan, 0.0
        for epoch in range(epochs.start):
            self.objective.view(epoch, self._fresh_view)
            self._batches()
        for epoch in epochs:
            self._advance(epoch * self.steps_per_epoch)
            constraints.refresh(self.module)
            view = self.objective.view(epoch, self._fresh_view)
            start = time.perf_counter()
            loss = self._epoch(epoch, view)
            seconds += time.perf_counter() - start
            self.hooks.on_progress(epoch + 1, self.plan.epochs, loss)
        self._advance(epochs.stop * self.steps_per_epoch)
        constraints.settle(self.module)
        trained = len(epochs) * self.steps_per_epoch * self.batch_size
        return FitReport(
            images_per_second=trained / max(seconds, 1e-9),
            seconds=seconds,
            loss=loss,
            precision=self.precision,
        )

    def _epoch(self, epoch: int, view: View | None) -> float:
        total = torch.zeros((), device=self.device)
        for index, rows_B in enumerate(self._batches()):
            if self.hooks.should_stop():
                raise Stopped(f"stopped in epoch {epoch + 1} of {self.plan.epochs}")
            step = epoch * self.steps_per_epoch + index
            if step % self.advances_every == 0:
                self._advance(step)
            total += self._step(rows_B, view)
            self._thin_out_batchnorm_()
            self.optimiser.step(learning_rate(step, steps=self.steps, plan=self.plan))
            self.objective.stepped()
        loss = float(total) / self.steps_per_epoch
        if not math.isfinite(loss):
            raise NumericalError(f"the loss became {loss} in epoch {epoch + 1}")
        return loss

    def _step(self, rows_B: Tensor, view: View | None) -> Tensor:
        batch = self._batch(rows_B, view)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            x_BCHW = self.plan.noise.of_words(self.prepare(batch.x_BCHW, batch.view))
            with foreign.blamed("the network cannot be trained"):
                logits_BK = self.module(x_BCHW)
        loss = self.objective.loss(logits_BK.float(), batch)
        with foreign.blamed("the network cannot be trained"):
            loss.backward()
        return loss.detach()

    def _advance(self, step: int) -> None:
        for constraint in self.constraints:
            constraint.advance(step / max(1, self.steps))

    def _thin_out_batchnorm_(self) -> None:
        """Add the subgradient of ``l1 * sum |gamma|``: Liu et al., arXiv:1708.06519, equation 1."""
        for scale_C in self.thinned:
            if scale_C.grad is not None:
                scale_C.grad.add_(scale_C.detach().sign(), alpha=self.plan.batchnorm_l1)

    def _batch(self, rows_B: Tensor, view: View | None) -> Batch:
        return Batch(
            rows_B=rows_B,
            x_BCHW=self.images.x_NCHW.index_select(0, rows_B),
            labels_B=self.images.y_N.index_select(0, rows_B),
            view=None if view is None else view.take(rows_B),
        )

    def _batches(self) -> Iterator[Tensor]:
        order_N = torch.randperm(len(self.images), generator=self.generator).to(self.device)
        return iter(order_N.split(self.batch_size)[: self.steps_per_epoch])

    def _fresh_view(self) -> View | None:
        images, augmented = self.images.x_NCHW, self.augmented
        view = self.task.augment(images, self.generator, augmented=augmented)
        return None if view is None else view.to(self.device)


def _optimiser(network: Network, plan: TrainingPlan, objective: nn.Module) -> Optimiser:
    """Make the optimiser of the network, for it and for what its objective trains."""
    if network.optimiser == "adam":
        return Adam(network.module, objective, weight_decay=plan.weight_decay)
    return NesterovSGD(
        network.module, objective, momentum=plan.momentum, weight_decay=plan.weight_decay
    )


def _objective(
    student: Network,
    images: Images,
    plan: TrainingPlan,
    task: Task,
    teacher: TeacherLogits | None,
    should_stop: ShouldStop,
) -> TrainingObjective:
    config = plan.distillation
    if config is None or not config.has_effect:
        return Labels(task)
    if config.teacher != "self" and teacher is None:
        raise ValueError("distillation needs a teacher")
    if config.is_online:
        assert plan.precision != "auto"
        return OnlineTeacher(
            student,
            teacher.teacher if teacher and config.teacher != "self" else None,
            config,
            task=task,
            x_BCHW=images.x_NCHW[: plan.batch_size],
            precision=plan.precision,
        )
    assert teacher is not None
    return CachedLogits(
        teacher,
        config,
        task=task,
        device=images.y_N.device,
        augmented=_settled(plan),
        should_stop=should_stop,
    )


def _settled(plan: TrainingPlan) -> Augmented:
    assert plan.augment not in (False, "auto", "by_channels")
    return plan.augment


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generator, the only one that dropout uses, and restore it afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _scales(module: nn.Module) -> list[nn.Parameter]:
    norms = [part for part in module.modules() if isinstance(part, BatchNorm) and part.affine]
    return [norm.weight for norm in norms if norm.weight.requires_grad]
