"""A network that follows another one as the exponential average of its weights.

Tarvainen and Valpola, Mean teachers are better role models, arXiv:1703.01780, section 2.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

_DECAY = 0.99
"""The paper's value for the time in which the student improves quickly: all of a recovery."""


class RunningAverage:
    """The exponential average of a network's weights; ``module`` answers and is never trained."""

    def __init__(self, followed: nn.Module) -> None:
        self.module = copy.deepcopy(followed).eval().requires_grad_(False)
        self._followed = followed
        self._steps = 0

    @torch.no_grad()
    def follow(self) -> None:
        """``average = d average + (1 - d) followed`` with ``d = min(0.99, 1 - 1 / (steps + 1))``.

        Early on this is the plain mean of all steps. Buffers are copied: statistics of BatchNorm
        are running averages themselves, and grids must fit the latest weights.
        """
        self._steps += 1
        decay = min(_DECAY, 1 - 1 / (self._steps + 1))
        # Looked up every time: a constraint may replace its tensors.
        pairs = zip(self.module.parameters(), self._followed.parameters(), strict=True)
        for average, followed in pairs:
            average.lerp_(followed, 1 - decay)
        for buffer, latest in zip(self.module.buffers(), self._followed.buffers(), strict=True):
            buffer.copy_(latest)
