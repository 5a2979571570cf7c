"""The constraint of a quantized weight: rounded in the forward pass, straight through backwards.

The forward pass sees the rounded weights, the backward pass does not see the rounding
(straight-through estimator: Bengio et al., arXiv:1308.3432, section 4; Jacob et al.,
arXiv:1712.05877, section 3). Folding BatchNorm into a layer multiplies the weights of a channel and
their scale by the same factor, so the grid of an unfolded weight is the one that the file gets. A
grid per tensor is the exception: there the *folded* weight has one step, and the scale of a channel
is that step divided by its factor.

Legend: O output channels, I everything else of a weight, R rows: weights that share a scale
(``O`` channels or ``O G`` groups), S steps: ``R`` of them, or 1 for the whole tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.network.stored_weight import StoredWeight
from compress.techniques.quantization import observers
from compress.techniques.quantization.observers import GridRule
from compress.training.constraints import WeightConstraint

# A channel that BatchNorm switches off would otherwise divide by zero.
_LEAST_FACTOR = 1e-6
# A weight this close to its grid, in steps, was put there and must not move again.
_ON_GRID = 1e-3
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """The weights of a layer that share a scale."""

    granularity: Literal["channel", "tensor", "group"] = "channel"
    group_size: int = 32

    def num_rows(self, weight: Tensor) -> int:
        """Return the number of rows of a weight ``(O, ...)``; all rows have the same size."""
        channels, inputs = len(weight), weight[0].numel()
        if self.granularity != "group":
            return channels
        return channels * inputs // largest_divisor(inputs, self.group_size)


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of ``number`` that is at most ``limit``, at least 1."""
    return next(size for size in range(min(number, limit), 0, -1) if number % size == 0)


class GridConstraint(WeightConstraint):
    """Keeps a weight on its integer grid; the grid follows the latent weight at every refresh."""

    step_S: Tensor
    low_S: Tensor
    high_S: Tensor
    factor_O: Tensor

    def __init__(
        self, layer: WeightedLayer, rule: GridRule, sharing: Sharing, *, trains: bool = True
    ) -> None:
        """Fit the grid. Without ``trains``, training sees the latent weight; evaluation rounds."""
        super().__init__()
        weight = layer.module.weight.detach()
        self.rule = rule
        self.trains = trains
        self.num_rows = sharing.num_rows(weight)
        self._rank = weight.ndim if self.num_rows == len(weight) else 2
        self.one_step = sharing.granularity == "tensor"
        # A tuple hides the layer from the module tree, and a copy of the network copies it along.
        self._layer = (layer,)
        num_steps = 1 if self.one_step else self.num_rows
        for name in ("step_S", "low_S", "high_S"):
            self.register_buffer(name, torch.zeros(num_steps, device=weight.device))
        self.register_buffer("factor_O", torch.ones(len(weight), device=weight.device))
        self._follow_norm_()
        self._fit_(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return rounded values with the gradient of the identity."""
        if self.training and not self.trains:
            return weight
        return straight_through(self.rounded(weight), weight)

    def rounded(self, weight: Tensor) -> Tensor:
        """Return rounded values, without a gradient."""
        with torch.no_grad():
            return self._in_rows(self._integers(weight) * self._row(self.scales()), weight)

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        """Fit the grid anew, except for rows whose weights all lie on their present grid.

        Such rows were put there by a rounding that used more than the weight, which a new grid
        would undo.
        """
        exact_R = self._is_exact(weight)
        self._follow_norm_()
        if self.one_step:
            exact_R = exact_R.all(dim=0, keepdim=True)
        before = [tensor.clone() for tensor in (self.step_S, self.low_S, self.high_S)]
        self._fit_(weight)
        for tensor, old in zip((self.step_S, self.low_S, self.high_S), before, strict=True):
            tensor.copy_(torch.where(exact_R, old, tensor))

    def scales(self) -> Tensor:
        """Return the scale of every row: the step, over the fold factor if there is one step."""
        return self._per_row(self.step_S)

    def expanded(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scale, least and largest integer of every single weight, in the weight's shape."""
        ends = (self.low_S.expand(self.num_rows), self.high_S.expand(self.num_rows))
        ones = torch.ones_like(self._rows(weight))
        parts = (self._row(each_R) * ones for each_R in (self.scales(), *ends))
        scale, low, high = (self._in_rows(part, weight) for part in parts)
        return scale, low, high

    @torch.no_grad()
    def stored(self, weight: Tensor) -> StoredWeight:
        """Return integers, minus the zero points of affine grids, and scales."""
        integers = self._in_rows(self._integers(weight), weight).cpu().numpy().astype(np.int8)
        scale = self.scales().detach().cpu().numpy()
        if self.num_rows != len(weight):
            scale = scale.reshape(len(weight), -1)
        return StoredWeight(integers_OI=integers, scale=scale)

    def _integers(self, weight: Tensor) -> Tensor:
        weight = self._rows(weight)
        if self.rule.bits == 1:
            return weight.sign()
        return self._clamped(weight / self._row(self.scales())).round()

    def _clamped(self, in_steps: Tensor) -> Tensor:
        low = self._row(self.low_S.expand(self.num_rows))
        high = self._row(self.high_S.expand(self.num_rows))
        return in_steps.clamp(low, high)

    def _is_exact(self, weight: Tensor) -> Tensor:
        scale = self._row(self.scales())
        distance = (self._rows(weight) - self._integers(weight) * scale).abs() / scale
        return distance.flatten(1).amax(dim=1) < _ON_GRID

    def _follow_norm_(self) -> None:
        if not self.one_step:
            return
        factor_O = layers.norm_factor(self._layer[0]).abs().to(self.factor_O)
        largest = factor_O.max()
        if largest > 0:
            self.factor_O.copy_(factor_O.clamp_min(largest * _LEAST_FACTOR))

    def _fit_(self, weight: Tensor) -> None:
        rows_RI = self._rows(weight).detach().flatten(1)
        if self.one_step:
            rows_RI = (rows_RI * self.factor_O[:, None]).reshape(1, -1)
        found = observers.fit(rows_RI.cpu().numpy(), self.rule)
        for tensor, value in (
            (self.step_S, found.scale_R),
            (self.low_S, found.low_R),
            (self.high_S, found.high_R),
        ):
            tensor.copy_(torch.from_numpy(value))

    def _rows(self, weight: Tensor) -> Tensor:
        return weight if self.num_rows == len(weight) else weight.reshape(self.num_rows, -1)

    def _in_rows(self, rows: Tensor, weight: Tensor) -> Tensor:
        return rows.reshape(weight.shape)

    def _per_row(self, step_S: Tensor) -> Tensor:
        # A trained step may wander below zero; a scale may not.
        size_S = step_S.abs().clamp_min(_SMALLEST)
        return size_S / self.factor_O if self.one_step else size_S

    def _row(self, values_R: Tensor) -> Tensor:
        return values_R.view(-1, *[1] * (self._rank - 1))


def straight_through(value: Tensor, weight: Tensor) -> Tensor:
    """Return exactly ``value``, with the gradient of ``weight``."""
    return value.detach() + (weight - weight.detach())
