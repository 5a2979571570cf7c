"""Stochastic gradient descent with Nesterov momentum and decoupled groups of weight decay.

Sutskever et al., On the importance of initialization and momentum in deep learning (ICML 2013),
in the form of ``torch.optim.SGD(nesterov=True)``, whose numbers it reproduces. Building any
optimiser of ``torch.optim`` imports torch's compiler, which costs every process 3.5 seconds: more
than a rung of a small network takes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NesterovSGD:
    """Updates the trained parameters of modules in place.

    Parameters of one dimension or none do not decay: biases, BatchNorm, and the steps and levels
    that constraints learn.

    ``velocities`` are the momentum of those parameters, in order; None before the first gradient.
    """

    def __init__(self, *modules: nn.Module, momentum: float, weight_decay: float) -> None:
        self._momentum = momentum
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        self._decay = [weight_decay if parameter.ndim > 1 else 0.0 for parameter in trained]
        self._parameters = trained
        self.velocities: list[Tensor | None] = [None] * len(trained)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update at this learning rate; gradients are cleared."""
        for index, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                continue
            if self._decay[index]:
                gradient = gradient.add_(parameter, alpha=self._decay[index])
            velocity = self.velocities[index]
            if velocity is None:
                velocity = self.velocities[index] = gradient.clone()
            else:
                velocity.mul_(self._momentum).add_(gradient)
            parameter.add_(gradient.add_(velocity, alpha=self._momentum), alpha=-rate)
            parameter.grad = None
