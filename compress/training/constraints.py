"""Constraints: what a layer's weight may be in the file, kept true while the network trains.

A constraint is a parametrization: it stands between the latent weight, which is trained, and the
weight that the layer uses. So the network *is* its own simulation at every moment: evaluation,
BatchNorm statistics and importance all see the weights that the file will hold. Several constraints
of one weight apply in the order of the catalog: first a mask, then a grid or a codebook.

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
    """Maps a latent weight to the values that the file will hold."""

    is_constraint = True
    """Tells ours from whatever else a network has put in front of its weights."""

    def forward(self, weight: Tensor) -> Tensor:
        """The constrained weight, of the same shape, differentiable where it is trained through."""
        raise NotImplementedError

    def refresh(self, weight: Tensor) -> None:
        """Follow the latent weight: called before every epoch of training.

        ``weight`` is what the constraints before this one make of the latent weight.
        """

    def settle(self, weight: Tensor) -> None:
        """Called after the last epoch, for what was put off until then.

        A grid that was trained on must stay: fitted anew, it would round other weights up and
        down than those that were trained (3 bits on the published ResNet-20 lost three points).
        """

    def advance(self, progress: float) -> None:
        """Told the share of the training that is done, 0 to 1: for gradual schedules."""

    def stored(self, weight: Tensor) -> StoredWeight | SparseFloat:
        """What the file holds for this weight: its ``values()`` are those of ``forward``."""
        raise NotImplementedError


def constrain(layer: nn.Module, constraint: WeightConstraint) -> None:
    """Put a layer's weight under one more constraint, in place."""
    parametrize.register_parametrization(layer, "weight", constraint, unsafe=True)


def on(layer: nn.Module) -> tuple[WeightConstraint, ...]:
    """The constraints of a layer's weight, first to last."""
    if not hasattr(layer, "parametrizations"):
        return ()
    chain = layer.get_submodule("parametrizations.weight")
    return tuple(part for part in chain.children() if isinstance(part, WeightConstraint))


@torch.no_grad()
def refresh(module: nn.Module) -> None:
    """Let every constraint of the module follow its weight."""
    for constraint, weight in _with_weights(module):
        constraint.refresh(weight)


@torch.no_grad()
def settle(module: nn.Module) -> None:
    """Tell every constraint of the module that the training is over."""
    for constraint, weight in _with_weights(module):
        constraint.settle(weight)


def advance(module: nn.Module, progress: float) -> None:
    """Tell every constraint how far the training is, 0 to 1."""
    for _, layer in _constrained(module):
        for constraint in on(layer):
            constraint.advance(progress)


@torch.no_grad()
def bake(network: Network) -> tuple[Network, Mapping[str, StoredWeight | SparseFloat]]:
    """A plain copy that holds the constrained weights, and what the file stores for each of them.

    The second is keyed by the layers' names; a layer without constraints is missing from it.
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
    """Turn a constrained layer into an ordinary one, in place, with this weight.

    ``parametrize.remove_parametrizations`` would take the property away from the layer's class,
    which every copy of the layer shares: the network that was copied could not run any more.
    """
    requires_grad = layers.latent(layer).requires_grad
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    layer.register_parameter("weight", nn.Parameter(weight, requires_grad=requires_grad))


def _with_weights(module: nn.Module) -> Iterator[tuple[WeightConstraint, Tensor]]:
    """Every constraint with what it is given; asked for its own answer once it was handled."""
    for _, layer in _constrained(module):
        weight = layers.latent(layer)
        for constraint in on(layer):
            yield constraint, weight
            weight = constraint(weight)


def _constrained(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in module.named_modules():
        if on(layer):
            yield name, layer
