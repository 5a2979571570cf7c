"""Rounding that looks at the inputs: GPTQ and AdaRound, as functions of matrices.

Both minimise the error of the layer's output, ``sum_o d_o M d_o^T`` with ``d = w - s q`` and the
second moments ``M = E[x x^T]`` of its inputs; ``2 M`` is the Hessian.

* GPTQ (Frantar et al., arXiv:2210.17323, algorithm 1; equations 2 and 3 of the paper): columns are
  rounded one by one, the most active first, and the error of each is made up for by those that
  are not rounded yet.
* AdaRound (Nagel et al., arXiv:2004.10568): a relaxed choice between the two neighbours of every
  weight, equations 22 to 24, descends the objective of equation 21. Deviation: the objective is
  evaluated through ``M`` instead of batches of inputs, so there is no term for the activation
  function (equation 25).

Weights that are exactly zero are pruned and stay zero.

Legend: O output channels, K weights of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_DAMPING = 0.01
_STRETCH_LOW, _STRETCH_HIGH = -0.1, 1.1
# The objective is counted in errors per weight of rounding to nearest, not in squared outputs: the
# paper's 0.01 would never make the choice a clear one.
_REGULARISATION = 3.0
_BETA_FIRST, _BETA_LAST = 20.0, 2.0
_WARMUP = 0.2
_STEPS = 600
_RATE = 0.05


@dataclass(frozen=True, kw_only=True)
class MatrixGrid:
    """The grid of every weight of a matrix; all ``(O, K)``. ``has_zero`` is False for 1 bit."""

    scale_OK: Tensor
    low_OK: Tensor
    high_OK: Tensor
    has_zero: bool = True

    def nearest(self, weight: Tensor, columns: slice | int = slice(None)) -> Tensor:
        """Return the nearest integers of some columns."""
        if not self.has_zero:
            return torch.where(weight < 0, -1.0, 1.0)
        in_steps = (weight / self.scale_OK[:, columns]).round()
        return in_steps.clamp(self.low_OK[:, columns], self.high_OK[:, columns])


def gptq(weight_OK: Tensor, moment_KK: Tensor, grid: MatrixGrid) -> Tensor:
    """Round by GPTQ to integers ``(O, K)``, as floats."""
    order_K = moment_KK.diagonal().argsort(descending=True, stable=True)
    upper_KK = _inverse_factor(moment_KK[order_K][:, order_K])
    left_OK = weight_OK[:, order_K].clone()
    integers_OK = torch.zeros_like(weight_OK)
    for position, column in enumerate(order_K.tolist()):
        wanted_O = left_OK[:, position]
        integers_O = grid.nearest(wanted_O, column) * (weight_OK[:, column] != 0)
        integers_OK[:, column] = integers_O
        missed_O = (wanted_O - integers_O * grid.scale_OK[:, column]) / upper_KK[position, position]
        left_OK[:, position:] -= missed_O[:, None] * upper_KK[position, position:]
    return integers_OK


def _inverse_factor(moment_KK: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse of the damped Hessian."""
    diagonal_K = moment_KK.diagonal()
    damping = _DAMPING * diagonal_K.mean().clamp_min(torch.finfo(torch.float32).tiny)
    damped_KK = moment_KK.double() + damping * torch.eye(len(moment_KK), device=moment_KK.device)
    inverse_KK = torch.cholesky_inverse(torch.linalg.cholesky(damped_KK))
    return torch.linalg.cholesky(inverse_KK, upper=True).to(moment_KK)


def adaround(
    weight_OK: Tensor, moment_KK: Tensor, grid: MatrixGrid, *, steps: int = _STEPS
) -> Tensor:
    """Round by AdaRound to integers ``(O, K)``, as floats; each is a neighbour of its weight."""
    lower_OK, upper_OK = _neighbours(weight_OK, grid)
    width_OK = (upper_OK - lower_OK) * grid.scale_OK
    start_OK = (weight_OK - lower_OK * grid.scale_OK) / width_OK.clamp_min(1e-30)
    choice_OK = _inverse_rectified(start_OK.clamp(0.01, 0.99))
    descent = _Adam(choice_OK)
    unit = _unit(weight_OK, moment_KK, grid)
    for step in range(steps):
        share_OK, slope_OK = _rectified(choice_OK)
        error_OK = lower_OK * grid.scale_OK + share_OK * width_OK - weight_OK
        gradient_OK = 2 * (error_OK @ moment_KK) * width_OK / unit
        gradient_OK += _REGULARISATION * _pull(share_OK, step / steps)
        descent.step_(gradient_OK * slope_OK)
    up_OK = _rectified(choice_OK)[0] >= 0.5
    return torch.where(up_OK, upper_OK, lower_OK) * (weight_OK != 0)


def output_error(error_OK: Tensor, moment_KK: Tensor) -> Tensor:
    """Return the outputs' mean squared error ``(O,)`` under weight errors: ``d M d^T`` per row.

    A moment of ``(K,)`` is a diagonal.
    """
    seen_OK = error_OK * moment_KK if moment_KK.ndim == 1 else error_OK @ moment_KK
    return (seen_OK * error_OK).sum(dim=1)


def _neighbours(weight_OK: Tensor, grid: MatrixGrid) -> tuple[Tensor, Tensor]:
    if not grid.has_zero:
        return -torch.ones_like(weight_OK), torch.ones_like(weight_OK)
    lower_OK = (weight_OK / grid.scale_OK).floor().clamp(grid.low_OK, grid.high_OK)
    return lower_OK, torch.minimum(lower_OK + 1, grid.high_OK)


def _unit(weight_OK: Tensor, moment_KK: Tensor, grid: MatrixGrid) -> float:
    """Return the error per weight of rounding to nearest, which scales the regularisation."""
    error_OK = weight_OK - grid.nearest(weight_OK) * grid.scale_OK
    whole = float(output_error(error_OK, moment_KK).sum()) / weight_OK.numel()
    return max(whole, 1e-30)


def _rectified(choice_OK: Tensor) -> tuple[Tensor, Tensor]:
    """Return the stretched sigmoid ``h(V)`` of equation 23 and its slope, zero where clipped."""
    sigmoid_OK = choice_OK.sigmoid()
    stretched_OK = sigmoid_OK * (_STRETCH_HIGH - _STRETCH_LOW) + _STRETCH_LOW
    slope_OK = (_STRETCH_HIGH - _STRETCH_LOW) * sigmoid_OK * (1 - sigmoid_OK)
    inside_OK = (stretched_OK > 0) & (stretched_OK < 1)
    return stretched_OK.clamp(0, 1), slope_OK * inside_OK


def _inverse_rectified(share_OK: Tensor) -> Tensor:
    return ((share_OK - _STRETCH_LOW) / (_STRETCH_HIGH - _STRETCH_LOW)).logit()


def _pull(share_OK: Tensor, progress: float) -> Tensor:
    """Return the slope of ``1 - |2 h - 1|^beta`` (equation 24): zero at first, then beta falls."""
    if progress < _WARMUP:
        return torch.zeros_like(share_OK)
    done = (progress - _WARMUP) / (1 - _WARMUP)
    beta = _BETA_LAST + (_BETA_FIRST - _BETA_LAST) * (1 - done)
    centred_OK = 2 * share_OK - 1
    return -2 * beta * centred_OK.abs().pow(beta - 1) * centred_OK.sign()


class _Adam:
    """Kingma and Ba, arXiv:1412.6980, algorithm 1, on one tensor in place."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._mean = torch.zeros_like(values)
        self._square = torch.zeros_like(values)
        self._step = 0

    def step_(self, gradient: Tensor) -> None:
        self._step += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.lerp_(gradient.square(), 0.001)
        mean = self._mean / (1 - 0.9**self._step)
        square = self._square / (1 - 0.999**self._step)
        self._values -= _RATE * mean / (square.sqrt() + 1e-12)
