"""The one training loop: baselines, recovery and students, on CPU and GPU alike.

Data stays on the device as one tensor; batches are rows of it, augmented and normalised there.
Memory is channels-last; bfloat16 is used where a timed probe says that it pays.

Legend: N images, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress import augmentation, inference, precision
from compress.augmentation import View
from compress.errors import NumericalError, Stopped
from compress.inference import Preparation
from compress.model import Images, Network, ShouldStop, never
from compress.precision import Precision
from compress.sgd import NesterovSGD
from compress.teacher import TeacherLogits
from compress.techniques.distillation.config import Distillation
from compress.techniques.distillation.loss import distillation_loss
from compress.techniques.quantization.straight_through import StraightThrough

OnProgress = Callable[[int, int, float], None]
"""Told ``(epoch, epochs, mean loss)`` after every epoch, counted from 1."""


def silent(epoch: int, epochs: int, loss: float) -> None:
    """An ``OnProgress`` for callers that do not listen."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """SGD with Nesterov momentum; the rate rises linearly, then falls to zero along a cosine.

    Loshchilov and Hutter, arXiv:1608.03983, equation 5, without restarts. ``warmup`` is the share
    of steps that rise; ``weight_decay`` spares biases and BatchNorm. ``weight_bits`` trains
    against the weights as a file of that many bits will store them.
    """

    epochs: int
    seed: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.2
    augment: bool = True
    distillation: Distillation | None = None
    weight_bits: int | None = None
    edges_8bit: bool = True
    precision: Literal["auto"] | Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a caller watches and stops a long training."""

    should_stop: ShouldStop = never
    on_progress: OnProgress = silent


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a training took; ``loss`` is the mean over the last epoch."""

    images_per_second: float
    seconds: float
    loss: float
    precision: Precision


def fit(
    network: Network,
    images: Images,
    plan: TrainingPlan,
    *,
    device: torch.device,
    teacher: TeacherLogits | None = None,
    hooks: Hooks = Hooks(),
) -> tuple[Network, FitReport]:
    """A trained copy of the network. The same seed gives the same weights on the same CPU.

    Raises ValueError when distillation has no teacher, Stopped when asked to stop, and
    NumericalError when the loss or a weight is not finite.
    """
    distils = plan.distillation is not None and plan.distillation.has_effect
    if distils and teacher is None:
        raise ValueError("distillation needs a teacher")
    module = inference.copied_to(device, network.module).train()
    loop = _Loop(
        network=replace(network, module=module),
        images=Images(x_NCHW=images.x_NCHW.to(device), y_N=images.y_N.to(device)),
        plan=plan,
        teacher=teacher if distils else None,
        hooks=hooks,
    )
    report = loop.run()
    module = inference.back_from_device(module).eval()
    _check_finite(module)
    return replace(network, module=module), report


def evaluate(network: Network, images: Images, device: torch.device) -> float:
    """Share of images (0 to 1) whose largest logit is that of their label."""
    logits_NK = inference.logits(network, images.x_NCHW, device=device)
    return float((logits_NK.argmax(1) == images.y_N).float().mean())


def learning_rate(step: int, *, steps: int, plan: TrainingPlan) -> float:
    """Rate of a step, counted from zero."""
    rising = max(1, round(steps * plan.warmup))
    if step < rising:
        return plan.learning_rate * (step + 1) / rising
    done = (step + 1 - rising) / (steps + 1 - rising)
    return plan.learning_rate * (1 + math.cos(math.pi * done)) / 2


class _Loop:
    def __init__(
        self,
        *,
        network: Network,
        images: Images,
        plan: TrainingPlan,
        teacher: TeacherLogits | None,
        hooks: Hooks,
    ) -> None:
        self.module = network.module
        self.images = images
        self.plan = plan
        self.teacher = teacher
        self.hooks = hooks
        self.input_shape = network.input_shape
        self.device = images.y_N.device
        self.prepare: Preparation = inference.preparation(network.normalisation, self.device)
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.batch_size = min(plan.batch_size, len(images))
        self.steps_per_epoch = len(images) // self.batch_size
        self.precision: Precision = self._choose_precision()

    def run(self) -> FitReport:
        loss, seconds = math.nan, 0.0
        with StraightThrough.on(
            self.module, bits=self.plan.weight_bits, edges_8bit=self.plan.edges_8bit
        ) as grid:
            self.optimiser = NesterovSGD(
                self.module, momentum=self.plan.momentum, weight_decay=self.plan.weight_decay
            )
            for epoch in range(self.plan.epochs):
                grid.refresh()
                view, soft_NK = self._view(epoch)
                start = time.perf_counter()
                loss = self._epoch(epoch, view, soft_NK)
                seconds += time.perf_counter() - start
                self.hooks.on_progress(epoch + 1, self.plan.epochs, loss)
        trained = self.plan.epochs * self.steps_per_epoch * self.batch_size
        return FitReport(
            images_per_second=trained / max(seconds, 1e-9),
            seconds=seconds,
            loss=loss,
            precision=self.precision,
        )

    def _epoch(self, epoch: int, view: View | None, soft_NK: Tensor | None) -> float:
        total = torch.zeros((), device=self.device)
        steps = self.plan.epochs * self.steps_per_epoch
        for index, rows_B in enumerate(self._batches()):
            if self.hooks.should_stop():
                raise Stopped(f"stopped in epoch {epoch + 1} of {self.plan.epochs}")
            step = epoch * self.steps_per_epoch + index
            total += self._step(rows_B, view, soft_NK)
            self.optimiser.step(learning_rate(step, steps=steps, plan=self.plan))
        loss = float(total) / self.steps_per_epoch
        if not math.isfinite(loss):
            raise NumericalError(f"the loss became {loss} in epoch {epoch + 1}")
        return loss

    def _step(self, rows_B: Tensor, view: View | None, soft_NK: Tensor | None) -> Tensor:
        x_BCHW = self._inputs(rows_B, view)
        labels_B = self.images.y_N.index_select(0, rows_B)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits_BK = self.module(x_BCHW)
        loss = self._loss(logits_BK.float(), labels_B, rows_B, soft_NK)
        loss.backward()
        return loss.detach()

    def _loss(
        self, logits_BK: Tensor, labels_B: Tensor, rows_B: Tensor, soft_NK: Tensor | None
    ) -> Tensor:
        distillation = self.plan.distillation
        if soft_NK is None or distillation is None:
            return functional.cross_entropy(logits_BK, labels_B)
        return distillation_loss(
            logits_BK,
            soft_NK.index_select(0, rows_B),
            labels_B,
            temperature=distillation.temperature,
            weight=distillation.weight,
        )

    def _inputs(self, rows_B: Tensor, view: View | None) -> Tensor:
        x_BCHW = self.images.x_NCHW.index_select(0, rows_B)
        if view is not None:
            x_BCHW = augmentation.apply(x_BCHW, view.take(rows_B))
        return self.prepare(x_BCHW)

    def _batches(self) -> Iterator[Tensor]:
        order_N = torch.randperm(len(self.images), generator=self.generator).to(self.device)
        return iter(order_N.split(self.batch_size)[: self.steps_per_epoch])

    def _view(self, epoch: int) -> tuple[View | None, Tensor | None]:
        if self.teacher is None:
            return self._fresh_view(), None
        number = epoch % self.teacher.num_views if self.plan.augment else None
        view = self.teacher.view(number)
        soft_NK = self.teacher.logits(number, should_stop=self.hooks.should_stop)
        return view.to(self.device) if view else None, soft_NK.to(self.device)

    def _fresh_view(self) -> View | None:
        if not self.plan.augment:
            return None
        return augmentation.draw(len(self.images), self.input_shape, self.generator).to(self.device)

    def _choose_precision(self) -> Precision:
        if self.plan.precision != "auto":
            return self.plan.precision
        rows_B = torch.arange(self.batch_size, device=self.device)
        return precision.choose(self.module, self._inputs(rows_B, None))


def _check_finite(module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"tensor {name!r} holds a NaN or an infinity after training")
