"""The training of a trial whose weights many members will share, from checkpoint to checkpoint."""

from __future__ import annotations

from dataclasses import replace

from compress.network.network import Network
from compress.network.sources.source import NetworkSource
from compress.supernet import start, training
from compress.supernet.training import Momentum
from compress.training.context import Task
from compress.training.loop import OnProgress
from featherweight.specs.protocol import SupernetTask


class SharedTraining:
    """A supernet on its way; ``supernet`` is what is trained so far.

    Between two calls of ``train`` the optimiser keeps its momentum, so that checkpoints change
    nothing. A checkpoint holds weights only: what begins at one has the batches, members and
    learning rates of the unbroken training, but an optimiser at rest, so its weights are others.
    """

    def __init__(self, given: SupernetTask, *, largest: NetworkSource, task: Task) -> None:
        self.supernet: Network | None = None
        self.images_per_second: float | None = None
        self._given = given
        self._largest = largest
        self._task = replace(task, augment=given.augment)
        self._momentum: Momentum | None = None

    def begin(self, checkpoint: Network | None, baseline: Network) -> None:
        """Go on from a checkpoint, else from new weights or the baseline's, as was asked.

        New weights read images as the baseline does. Raises InvalidCandidate for members that are
        no slices of the largest.
        """
        if checkpoint is not None:
            self.supernet = checkpoint
            return
        source = baseline if self._given.start == "baseline" else None
        begun = start.begin(source, self._largest.config, self._task, self._given.elastic)
        self.supernet = replace(begun, normalisation=baseline.normalisation)

    def train(self, first: int, last: int, *, on_progress: OnProgress) -> None:
        """The epochs from ``first`` up to, not with, ``last``. Raises Stopped, NumericalError."""
        assert self.supernet is not None  # it has begun
        self.supernet, report = training.train(
            self.supernet,
            self._given.elastic,
            self._task,
            epochs=(first, last),
            of=self._given.epochs,
            momentum=self._momentum,
            on_progress=on_progress,
        )
        self._momentum = report.momentum
        self.images_per_second = report.fit.images_per_second
