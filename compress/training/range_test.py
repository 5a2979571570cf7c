"""A short test of learning rates for a network that nobody has tuned one for.

The rate rises from run to run, and the loss says where it is too high: Smith, Cyclical Learning
Rates for Training Neural Networks (arXiv:1506.01186), section 3.3. Every rate starts from the same
weights. In one sweep over all rates, a compressed network is repaired by the low ones, and then
stands high ones that would have destroyed it.

Legend: B images of a batch, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compress.network.network import Network
from compress.network.running import foreign
from compress.tasks.images import Images
from compress.tasks.task import Batch, Task
from compress.training import inference
from compress.training.optimiser import NesterovSGD
from compress.values.schedule import USUAL_RATE

RATES = tuple(USUAL_RATE / 4**step for step in range(4))
"""The rates that are tried, the largest first."""
_HARDER = 2.0
"""A training holds its peak for long: a run takes this multiple of the rate."""
_FEWEST_STEPS, _MOST_STEPS = 8, 32
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 32
_PASSES = 4 / 3 * len(RATES)
"""Passes over the images of a run in all: one to learn, a third to see the loss, for each rate."""
_NEARLY = 0.1
"""Of the loss of a network that knows nothing: what may be between a loss and the least one."""


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """What a test has found: the rate, and the images that it took, 0 if there was no test."""

    rate: float
    images: int

    @property
    def described(self) -> str:
        """The words of a note."""
        if not self.images:
            return f"trained at a rate of {self.rate:g}, it is too short for a test of rates"
        return f"trained at a rate of {self.rate:g}, by a test on {self.images} images"


def learning_rate(
    network: Network,
    images: Images,
    *,
    task: Task,
    device: torch.device,
    most_images: int,
    seed: int,
) -> RangeTest:
    """Return the largest of ``RATES`` whose run ends nearly as well as the best one.

    No more than ``most_images`` are learned from. If these are too few for a test, the rate is the
    second largest. The network itself stays as it is, and the same seed gives the same rate. The
    test learns from labels, in float32, without augmentation.
    """
    batches = _batches(images, most_images, device=device, seed=seed)
    if not batches:
        return RangeTest(rate=RATES[1], images=0)
    runs = _Runs(network, batches, task=task, device=device, seed=seed)
    losses = [runs.loss_after(_HARDER * rate) for rate in RATES]
    enough = min(losses) + _NEARLY * runs.loss_of_nothing()
    good = [rate for rate, loss in zip(RATES, losses, strict=True) if loss <= enough]
    taken = math.ceil(_PASSES * sum(len(batch.labels_B) for batch in batches))
    return RangeTest(rate=good[0] if good else RATES[-1], images=taken)


def _batches(
    images: Images, most_images: int, *, device: torch.device, seed: int
) -> Sequence[Batch]:
    """Draw the batches of a run; none if there are too few images for it."""
    each = min(int(most_images / _PASSES), len(images))
    size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, each // _MOST_STEPS))
    steps = min(_MOST_STEPS, each // size)
    if steps < _FEWEST_STEPS:
        return ()
    generator = torch.Generator().manual_seed(seed)
    rows_N = torch.randperm(len(images), generator=generator)[: steps * size]
    return [_batch(images, rows_B, device) for rows_B in rows_N.split(size)]


def _batch(images: Images, rows_B: Tensor, device: torch.device) -> Batch:
    return Batch(
        rows_B=rows_B.to(device),
        x_BCHW=images.x_NCHW[rows_B].to(device),
        labels_B=images.y_N[rows_B].to(device),
    )


class _Runs:
    """Runs of a network over the same batches, each from the same weights."""

    def __init__(
        self,
        network: Network,
        batches: Sequence[Batch],
        *,
        task: Task,
        device: torch.device,
        seed: int,
    ) -> None:
        self._network = replace(network, module=inference.copied_to(device, network).train())
        self._prepare = inference.preparation_of(network, device)
        self._batches, self._task, self._seed = batches, task, seed
        self._devices = [device] if device.type == "cuda" else []

    def loss_after(self, rate: float) -> float:
        """The mean loss of the batches after a step on each; infinite if it is no number."""
        module = copy.deepcopy(self._network.module)
        optimiser = NesterovSGD(module, momentum=0.9, weight_decay=0.0)
        with torch.random.fork_rng(devices=self._devices):
            torch.manual_seed(self._seed)
            for batch in self._batches:
                loss = self._loss(module, batch)
                with foreign.blamed("the network cannot be trained"):
                    loss.backward()
                optimiser.step(rate)
            with torch.no_grad():
                losses = [float(self._loss(module, batch)) for batch in self._batches]
        found = sum(losses) / len(losses)
        return found if math.isfinite(found) else math.inf

    def loss_of_nothing(self) -> float:
        """The mean loss of answers that say nothing: zeros."""
        with torch.no_grad():
            answers = [self._logits(self._network.module, batch) for batch in self._batches]
        pairs = zip(answers, self._batches, strict=True)
        losses = [float(self._task.loss(torch.zeros_like(a), batch)) for a, batch in pairs]
        return sum(losses) / len(losses)

    def _loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        return self._task.loss(self._logits(module, batch), batch)

    def _logits(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        with foreign.blamed("the network cannot be trained"):
            return module(self._prepare(batch.x_BCHW)).float()
