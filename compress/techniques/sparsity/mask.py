"""The constraint of a sparse layer: some of its weights are exact zeros."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from compress.network.stored_weight import SparseFloat
from compress.techniques.sparsity import selection
from compress.training.constraints import WeightConstraint

Rule = Callable[[Tensor, float], Tensor]
"""From scores and a share of the final zeros to what stays."""


class Mask(WeightConstraint):
    """Multiplies a weight by zeros and ones.

    ``factor`` times the magnitude is the importance. In one shot the mask is chosen from ``weight``
    and stays. A gradual mask is complete before any training, so that a file can be written. The
    first training restarts it without zeros, lets it follow the latent weights up to the last zero,
    and leaves it fixed.
    """

    mask: Tensor
    factor: Tensor

    def __init__(self, weight: Tensor, *, rule: Rule, factor: Tensor, is_gradual: bool) -> None:
        super().__init__()
        self._rule = rule
        self._is_fixed = not is_gradual
        self._share = 1.0
        self._is_stale = False
        self.register_buffer("factor", factor)
        self.register_buffer("mask", self._select(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight where the mask is True; pruned weights get no gradient."""
        if self._is_stale:
            self.mask = self._select(weight)
            self._is_stale = False
        return torch.where(self.mask, weight, torch.zeros_like(weight))

    def advance(self, progress: float) -> None:
        """Choose the mask again, with the zeros of this moment of the schedule."""
        if self._is_fixed:
            return
        share = selection.gradual(progress)
        self._is_stale = share != self._share
        self._share = share
        self._is_fixed = progress >= 1

    def stored(self, weight: Tensor) -> SparseFloat:
        """Return the masked weight itself."""
        values = self(weight).detach().cpu().numpy()
        return SparseFloat(values_OI=np.ascontiguousarray(values))

    @torch.no_grad()
    def _select(self, weight: Tensor) -> Tensor:
        return self._rule(weight.abs() * self.factor, self._share)
