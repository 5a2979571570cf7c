"""Train with quantization noise instead of, or mixed with, rounding. Evaluation always rounds.

Quant-Noise (Fan et al., arXiv:2004.07320, section 4.1) rounds a random subset of the weights in
every step; the others carry exact gradients. The paper keeps the share constant. Here it rises
linearly to all of the weights over a training, because the file will round all of them, and short
trainings lose much without.

Uniform noise adds ``U(-s/2, s/2)`` to the weights: the error of rounding as if it were independent
of the weight, without anything that has no derivative (Baskin et al., UNIQ, arXiv:1804.10969;
Defossez et al., DiffQ, arXiv:2104.09987, section 3.1). Exact zeros stay: those weights are pruned.

Random numbers come from a seed of the layer, the epoch and the step within it, so a run repeats
exactly and no two layers share a stream.
"""

from __future__ import annotations

import torch
from torch import Tensor

from compress.network.layers import WeightedLayer
from compress.techniques.quantization.constraint import GridConstraint, Sharing, straight_through
from compress.techniques.quantization.observers import GridRule
from compress.values import seeds


class _Noise(GridConstraint):
    """A grid constraint that draws random numbers in training."""

    def __init__(
        self, layer: WeightedLayer, rule: GridRule, sharing: Sharing, *, seed: int
    ) -> None:
        super().__init__(layer, rule, sharing)
        self._seed = seed
        self._epoch = 0
        self._step = 0

    def refresh(self, weight: Tensor) -> None:
        """Refit the grid and reseed the noise for the next epoch."""
        super().refresh(weight)
        self._epoch, self._step = self._epoch + 1, 0

    def _uniform(self, weight: Tensor) -> Tensor:
        """Draw uniform numbers between 0 and 1, new ones at every call."""
        self._step += 1
        number = seeds.derive(self._seed, self._epoch, self._step)
        generator = torch.Generator(device=weight.device).manual_seed(number)
        return torch.rand(weight.shape, generator=generator, device=weight.device)


class QuantNoise(_Noise):
    """Rounds a random share of the weights in every training step."""

    def __init__(
        self,
        layer: WeightedLayer,
        rule: GridRule,
        sharing: Sharing,
        *,
        seed: int,
        probability: float,
    ) -> None:
        super().__init__(layer, rule, sharing, seed=seed)
        self._first = probability
        self.probability = probability

    def advance(self, progress: float) -> None:
        """Raise the share of rounded weights towards all of them."""
        self.probability = self._first + (1 - self._first) * progress

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with a random share rounded in training, else all rounded."""
        rounded = straight_through(self.rounded(weight), weight)
        if not self.training:
            return rounded
        return torch.where(self._uniform(weight) < self.probability, rounded, weight)


class UniformNoise(_Noise):
    """Adds noise as wide as a step of the grid in training."""

    @torch.no_grad()
    def settle(self, weight: Tensor) -> None:
        """Fit the grid to the weights that were trained with the noise."""
        self.refresh(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the noisy weight in training, else the rounded one."""
        if not self.training:
            return straight_through(self.rounded(weight), weight)
        scale, _, _ = self.expanded(weight)
        noise = (self._uniform(weight) - 0.5) * scale
        return weight + torch.where(weight == 0, 0.0, noise)
