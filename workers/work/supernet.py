"""Train weights that many members will share, from checkpoint to checkpoint."""

from __future__ import annotations

from dataclasses import replace

from compress.network.network import Network
from compress.network.sources.source import FamilySource
from compress.supernet import start, training
from compress.supernet.training import Momentum
from compress.training.context import TrialContext
from compress.training.loop import OnProgress
from featherweight.specs.protocol import SupernetTask


class SharedTraining:
    """A supernet in training; ``supernet`` is its present state.

    Between two calls of ``train`` the optimiser keeps its momentum, so checkpoints change nothing.
    A checkpoint holds only weights: training that begins at one has the batches, members and
    learning rates of the unbroken training, but a fresh optimiser, so its weights differ.
    """

    def __init__(
        self, given: SupernetTask, *, largest: FamilySource, context: TrialContext
    ) -> None:
        self.supernet: Network | None = None
        self.images_per_second: float | None = None
        self._given = given
        self._largest = largest
        self._context = replace(context, augment=given.augment)
        self._momentum: Momentum | None = None

    def begin(self, checkpoint: Network | None, baseline: Network) -> None:
        """Continue from a checkpoint, or begin from new weights or the baseline's, as asked.

        New weights read images as the baseline does. Raises InvalidCandidate if members are not
        slices of the largest network.
        """
        if checkpoint is not None:
            self.supernet = checkpoint
            return
        source = baseline if self._given.start == "baseline" else None
        begun = start.begin(source, self._largest.config, self._context, self._given.elastic)
        self.supernet = replace(begun, normalisation=baseline.normalisation)

    def train(self, first: int, last: int, *, on_progress: OnProgress) -> None:
        """Train epochs from ``first`` to ``last`` (exclusive). Raises Stopped, NumericalError."""
        assert self.supernet is not None  # it has begun
        self.supernet, report = training.train(
            self.supernet,
            self._given.elastic,
            self._context,
            epochs=(first, last),
            of=self._given.epochs,
            momentum=self._momentum,
            on_progress=on_progress,
        )
        self._momentum = report.momentum
        self.images_per_second = report.fit.images_per_second
