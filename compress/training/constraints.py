"""Constraints keep a layer's weight what it will be in the file while the network trains.

A constraint is a parametrization: it stands between the latent weight, which is trained, and the
weight that the layer uses. So the network *is* its own simulation at every moment: evaluation,
BatchNorm statistics and importance all see the weights that the file will hold. Several constraints
on one weight apply in the order of the catalog: first a mask, then a grid or a codebook.

Gradients pass straight through the rounding (Bengio et al., arXiv:1308.3432, section 4).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compress.network import layers
from compress.network.network import Network
from compress.network.stored_weight import SparseFloat, StoredWeight


class WeightConstraint(nn.Module):
    """The base of all constraints: maps a latent weight to the values that the file will hold."""

    is_constraint = True
    """Tells ours from whatever else a network has put in front of its weights."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the constrained weight, of the same shape, differentiable if trained through."""
        raise NotImplementedError

    def refresh(self, weight: Tensor) -> None:
        """Adapt to the latent weight before every epoch of training.

        ``weight`` is the latent weight after all constraints before this one.
        """

    def settle(self, weight: Tensor) -> None:
        """Finish after the last epoch what was postponed until then.

        A grid that was trained on must stay. If it were fitted anew, it would round other weights
        up and down than it did in training (3 bits on the published ResNet-20 lost three points).
        """

    def advance(self, progress: float) -> None:
        """Follow a gradual schedule, given the share of the training that is done, 0 to 1."""

    def stored(self, weight: Tensor) -> StoredWeight | SparseFloat:
        """Return what the file stores for this weight: ``values()`` equals ``forward``."""
        raise NotImplementedError


def constrain(layer: nn.Module, constraint: WeightConstraint) -> None:
    """Add one more constraint to a layer's weight, in place."""
    parametrize.register_parametrization(layer, "weight", constraint, unsafe=True)


def on(layer: nn.Module) -> tuple[WeightConstraint, ...]:
    """Return the constraints on a layer's weight, first to last."""
    if not hasattr(layer, "parametrizations"):
        return ()
    chain = layer.get_submodule("parametrizations.weight")
    return tuple(part for part in chain.children() if isinstance(part, WeightConstraint))


@torch.no_grad()
def refresh(module: nn.Module) -> None:
    """Adapt every constraint of the module to its weight."""
    for constraint, weight in _with_weights(module):
        constraint.refresh(weight)


@torch.no_grad()
def settle(module: nn.Module) -> None:
    """Finish every constraint of the module after the training."""
    for constraint, weight in _with_weights(module):
        constraint.settle(weight)


def advance(module: nn.Module, progress: float) -> None:
    """Tell every constraint which share of the training is done, 0 to 1."""
    for _, layer in _constrained(module):
        for constraint in on(layer):
            constraint.advance(progress)


@torch.no_grad()
def bake(network: Network) -> tuple[Network, Mapping[str, StoredWeight | SparseFloat]]:
    """Return a plain copy that holds the constrained weights, and what the file stores for them.

    What is stored is keyed by the names of the layers; layers without constraints are missing.
    """
    module = copy.deepcopy(network.module)
    stored: dict[str, StoredWeight | SparseFloat] = {}
    for name, layer in list(_constrained(module)):
        *before, last = on(layer)
        weight = layers.latent(layer)
        for constraint in before:
            weight = constraint(weight)
        stored[name] = last.stored(weight)
        _free_(layer, last(weight))
    return replace(network, module=module), stored


def _free_(layer: nn.Module, weight: Tensor) -> None:
    """Turn a constrained layer into an ordinary one with this weight, in place.

    ``parametrize.remove_parametrizations`` would remove the property from the layer's class, which
    every copy of the layer shares, and the network that was copied would no longer run.
    """
    requires_grad = layers.latent(layer).requires_grad
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    layer.register_parameter("weight", nn.Parameter(weight, requires_grad=requires_grad))


def _with_weights(module: nn.Module) -> Iterator[tuple[WeightConstraint, Tensor]]:
    """Yield every constraint with its input; its output is computed after it was handled."""
    for _, layer in _constrained(module):
        weight = layers.latent(layer)
        for constraint in on(layer):
            yield constraint, weight
            weight = constraint(weight)


def _constrained(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in module.named_modules():
        if on(layer):
            yield name, layer
