"""Count a network without some of its channels from its outline. Torch-free, nothing is built.

The counts are those of the file: weights and biases of layers, with every BatchNorm folded into a
bias, and their multiply-accumulates for one image.

Legend: L layers, G groups of channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.network.outline import CoupledChannels, LayerInfo, Outline

_SIDES = 2


@dataclass(frozen=True, kw_only=True)
class NarrowedLayers:
    """What every layer of an outline counts, in its order."""

    weights_L: NDArray[np.int64]
    biases_L: NDArray[np.int64]
    macs_L: NDArray[np.int64]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return int(self.weights_L.sum() + self.biases_L.sum())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return int(self.macs_L.sum())


class Narrowing:
    """The layers of an outline, and what its groups hold of them; made once for many candidates."""

    def __init__(self, outline: Outline, coupled: CoupledChannels) -> None:
        self.outline, self.coupled = outline, coupled
        layers = outline.layers
        self._groups = {group.root: place for place, group in enumerate(coupled.groups)}
        self._channels_G = np.array([group.num_channels for group in coupled.groups], np.int64)
        self._sizes_L2 = np.array([_sizes(layer) for layer in layers], np.int64)
        self._kernels_L = np.array([prod(layer.weight_shape[_SIDES:]) for layer in layers])
        self._has_weight_L = np.array([layer.kind != "norm" for layer in layers])
        self._biases_L = np.array([biases_of_output(layer) for layer in layers], np.int64)
        self._macs_L = np.array([layer.macs for layer in layers], np.int64)
        self._held_2LG = self._held(layers, coupled)
        self.is_exact = coupled.is_counted and all(
            axis.is_even for group in coupled.groups for axis in group.axes
        )
        """Whether the counts are exact whichever channels leave."""

    def without(self, kept: Mapping[str, int]) -> NarrowedLayers:
        """Count the layers when so many channels stay of the groups with these roots."""
        lost_G = np.zeros_like(self._channels_G)
        for root, count in kept.items():
            place = self._groups[root]
            lost_G[place] = self._channels_G[place] - count
        sizes_L2 = self._sizes_L2 - (self._held_2LG @ (lost_G / self._channels_G)).round().T
        sizes_L2 = sizes_L2.astype(np.int64)
        products_L = sizes_L2.prod(1)
        return NarrowedLayers(
            weights_L=products_L * self._kernels_L * self._has_weight_L,
            biases_L=sizes_L2[:, 0] * self._biases_L,
            macs_L=self._macs_L * products_L // self._sizes_L2.prod(1),
        )

    def _held(self, layers: tuple[LayerInfo, ...], coupled: CoupledChannels) -> NDArray[np.float64]:
        """Return the indices ``(2, L, G)`` of both axes of every weight that a group holds."""
        places = {layer.name: place for place, layer in enumerate(layers)}
        held_2LG = np.zeros((_SIDES, len(layers), len(coupled.groups)))
        for number, group in enumerate(coupled.groups):
            for axis in group.axes:
                held_2LG[axis.axis, places[axis.layer], number] += axis.indices
        return held_2LG


def weights(layer: LayerInfo) -> int:
    """Count the weights in the file; a norm is folded into a layer, or is no weight."""
    return 0 if layer.kind == "norm" else prod(layer.weight_shape)


def biases_of_output(layer: LayerInfo) -> int:
    """Count the biases that the file has for an output channel: its own, or that of a BatchNorm.

    A gate has one for its input and one for the state.
    """
    if layer.kind == "norm" or layer.parameters <= weights(layer):
        return 0
    return _SIDES if layer.kind == "recurrent" else 1


def _sizes(layer: LayerInfo) -> tuple[int, int]:
    outputs, *rest = layer.weight_shape
    return outputs, rest[0] if rest else 1
