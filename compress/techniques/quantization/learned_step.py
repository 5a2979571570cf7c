"""A grid whose step is trained with the weights: learned step size quantization.

Esser et al., LSQ, arXiv:1902.08153: equation 3 is the gradient of the step, section 2.2 its scale
``1 / sqrt(N Q_P)`` with ``N`` weights per step and ``Q_P`` the largest integer. The step starts at
the fitted scale instead of ``2 mean|w| / sqrt(Q_P)``; with few levels that is much closer. A step
per tensor is one of the folded weights; it is learned in units of the weights that are trained.

Legend: O output channels, R rows: weights that share a scale, S steps: R, or 1 for a whole tensor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from compress.network.layers import WeightedLayer
from compress.techniques.quantization.constraint import GridConstraint, Sharing, straight_through
from compress.techniques.quantization.observers import GridRule


class LearnedStep(GridConstraint):
    """Keeps a weight on a grid with trained steps; zero points stay where they were fitted."""

    step_S: Tensor
    unit: Tensor

    def __init__(self, layer: WeightedLayer, rule: GridRule, sharing: Sharing) -> None:
        super().__init__(layer, rule, sharing)
        fitted_S = self.step_S
        del self.step_S
        self.step_S = nn.Parameter(fitted_S)
        weights_per_step = layer.num_weights / len(fitted_S)
        self._gradient_scale = 1 / math.sqrt(weights_per_step * rule.largest)
        self.register_buffer("unit", self._unit(layer.module.weight.detach()))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight, differentiable in the weight (in range) and in the step."""
        gradient_scale = self._gradient_scale * self.unit**2
        step_S = straight_through(self.step_S, self.step_S * gradient_scale)
        scale = self._row(self._per_row(step_S))
        in_steps = self._clamped(self._rows(weight) / scale)
        integers = straight_through(self._integers(weight), in_steps)
        return self._in_rows(integers * scale, weight)

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        """Follow only the BatchNorm factors of a step per tensor: the step itself is trained."""
        self._follow_norm_()
        self.unit = self._unit(weight)

    def _unit(self, weight: Tensor) -> Tensor:
        """The size of folded weights relative to the trained weights.

        It is 1 if every row has a step of its own, which is in units of the trained weights.
        """
        if not self.one_step:
            return torch.ones((), device=weight.device)
        integers = self._integers(weight)
        unfolded = integers / self._row(self.factor_O)
        sizes = [torch.linalg.vector_norm(each) for each in (integers, unfolded)]
        return torch.where(sizes[1] > 0, sizes[0] / sizes[1], 1.0)
