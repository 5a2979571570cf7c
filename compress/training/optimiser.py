"""The two optimisers, each with decoupled groups of weight decay.

Stochastic gradient descent with Nesterov momentum: Sutskever et al., On the importance of
initialization and momentum in deep learning (ICML 2013), in the form of
``torch.optim.SGD(nesterov=True)``, whose numbers it reproduces. Building any optimiser of
``torch.optim`` imports torch's compiler, which costs every process 3.5 seconds: more than a rung of
a small network takes.

Adam with decoupled weight decay (Kingma and Ba, arXiv:1412.6980, algorithm 1; Loshchilov and
Hutter, arXiv:1711.05101, algorithm 2) is for networks that look words up: a rare word's row gets
few gradients, and with them steps as long as those of any other.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

_FIRST_MOMENT, _SECOND_MOMENT, _EPSILON = 0.9, 0.999, 1e-8
"""Of Adam, as published."""


class Optimiser(Protocol):
    """Updates the trained parameters of modules in place."""

    def step(self, rate: float) -> None:
        """Make one update with this learning rate, and clear the gradients."""
        ...


class NesterovSGD:
    """Updates the trained parameters of modules in place.

    Weight decay does not apply to parameters with at most one dimension: biases, BatchNorm, and the
    steps and levels that constraints learn.

    ``velocities`` are the momenta of those parameters, in order; None before the first gradient.
    """

    def __init__(self, *modules: nn.Module, momentum: float, weight_decay: float) -> None:
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self.velocities: list[Tensor | None] = [None] * len(self._parameters)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Make one update with this learning rate, and clear the gradients.

        All tensors go through one call: on a GPU, calls cost more than the arithmetic of small
        ones.
        """
        moved = [i for i, parameter in enumerate(self._parameters) if parameter.grad is not None]
        if not moved:
            return
        parameters: list[Tensor] = [self._parameters[index] for index in moved]
        gradients = [p.grad for p in parameters if p.grad is not None]
        self._decay_(parameters, gradients)
        velocities = [self._velocity(index) for index in moved]
        _scale_(velocities, self._momentum)
        _add_(velocities, gradients)
        _add_(gradients, velocities, factor=self._momentum)
        _add_(parameters, gradients, factor=-rate)
        for parameter in parameters:
            parameter.grad = None

    def _decay_(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        if not self._weight_decay:
            return
        decaying = [index for index, parameter in enumerate(parameters) if parameter.ndim > 1]
        _add_(
            [gradients[index] for index in decaying],
            [parameters[index] for index in decaying],
            factor=self._weight_decay,
        )

    def _velocity(self, index: int) -> Tensor:
        velocity = self.velocities[index]
        if velocity is None:
            velocity = self.velocities[index] = torch.zeros_like(self._parameters[index])
        return velocity


class Adam:
    """Updates the trained parameters of modules in place, each by the size of its own gradients.

    Weight decay does not apply to parameters with at most one dimension, as in ``NesterovSGD``.
    """

    def __init__(self, *modules: nn.Module, weight_decay: float) -> None:
        self._weight_decay = weight_decay
        self._parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [0] * len(self._parameters)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Make one update with this learning rate, and clear the gradients."""
        for index, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            self._update_(index, parameter, parameter.grad, rate)
            parameter.grad = None

    def _update_(self, index: int, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        self._steps[index] += 1
        mean, square, step = self._means[index], self._squares[index], self._steps[index]
        mean.lerp_(gradient, 1 - _FIRST_MOMENT)
        square.mul_(_SECOND_MOMENT).addcmul_(gradient, gradient, value=1 - _SECOND_MOMENT)
        size = (square / (1 - _SECOND_MOMENT**step)).sqrt_().add_(_EPSILON)
        if parameter.ndim > 1 and self._weight_decay:
            parameter.mul_(1 - rate * self._weight_decay)
        parameter.addcdiv_(mean, size, value=-rate / (1 - _FIRST_MOMENT**step))


# What ``torch.optim`` itself calls with ``foreach=True``; torch has no public name for them.
def _scale_(tensors: list[Tensor], factor: float) -> None:
    torch._foreach_mul_(tensors, factor)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def _add_(tensors: list[Tensor], others: list[Tensor], *, factor: float = 1.0) -> None:
    torch._foreach_add_(tensors, others, alpha=factor)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
