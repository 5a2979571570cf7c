"""Fold BatchNorm into the layer before it, in torch: the network as its file will hold it.

``gamma (w x + b - mu) / sigma + beta`` is one layer with the weight ``f w`` and the bias
``beta + f (b - mu)``, where ``f = gamma / sigma`` (Jacob et al., arXiv:1712.05877, section 3.2).
A weight on a grid stays on one: its integers stay and its scales are multiplied by ``f``; a
negative ``f`` flips the signs of the integers.

Legend: O output channels, I everything else of a weight.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.network import layers
from compress.network.layers import Norm, WeightedLayer
from compress.network.network import Network
from compress.network.stored_weight import HalfFloat, SparseFloat, StoredWeight, halved, shortened

Stored = StoredWeight | SparseFloat
_WEIGHTS = "let weight_bits be at most 8"
_SCALES = "let scale_bits be 32"


@torch.no_grad()
def fold(network: Network, stored: Mapping[str, Stored]) -> tuple[Network, Mapping[str, Stored]]:
    """Return a copy without the BatchNorms that alone read a layer, and its stored weights.

    ``network`` is plain (``constraints.bake``), and so is the copy, which is in eval mode and
    answers the same. A layer's weight equals the ``values()`` of what is stored for it, exactly. A
    BatchNorm stays if something else reads its layer, too. Raises NumericalError for a number that
    float16 should hold and cannot.
    """
    folded = replace(network, module=copy.deepcopy(network.module).eval())
    kept = dict(stored)
    names = {part: name for name, part in folded.module.named_modules()}
    # More than once: behind the BatchNorm of a layer there may be another.
    while normed := _normed(folded):
        for layer, norm in normed:
            _fold_(layer, norm, kept)
            folded.module.set_submodule(names[norm], nn.Identity())
    return folded, kept


@torch.no_grad()
def shorten(network: Network, stored: Mapping[str, Stored]) -> tuple[Network, Mapping[str, Stored]]:
    """Return a copy of a folded network whose grids have scales of 8 significant bits.

    They change by one part in 256 at most: it is another grid, and another network.
    """
    short, kept = replace(network, module=copy.deepcopy(network.module)), dict(stored)
    for layer in layers.weighted(short):
        if isinstance(rounded := kept.get(layer.name), StoredWeight):
            kept[layer.name] = _rescale_(layer, rounded, shortened(rounded.scale))
    return short, kept


@torch.no_grad()
def halve(network: Network, stored: Mapping[str, Stored]) -> tuple[Network, Mapping[str, Stored]]:
    """Return a copy of a folded network whose scales and biases can be stored as float16.

    Only layers on a grid or in float16 change, by one part in 2,048 at most. Raises NumericalError
    for a number that float16 cannot hold.
    """
    half, kept = replace(network, module=copy.deepcopy(network.module)), dict(stored)
    for layer in layers.weighted(half):
        if isinstance(rounded := kept.get(layer.name), StoredWeight | HalfFloat):
            kept[layer.name] = _halve_(layer, rounded)
    return half, kept


def _normed(network: Network) -> list[tuple[WeightedLayer, Norm]]:
    return [
        (layer, layer.norm)
        for layer in layers.weighted(network)
        if layer.norm is not None and layer.norm.running_var is not None
    ]


def _fold_(layer: WeightedLayer, norm: Norm, kept: dict[str, Stored]) -> None:
    factor_O = layers.norm_factor(layer)
    if layer.name in kept:
        kept[layer.name] = scaled(kept[layer.name], factor_O.numpy())
        weight = torch.from_numpy(kept[layer.name].values())
    else:
        weight = _per_channel(factor_O, layer) * layer.module.weight.double()
    layer.module.weight.copy_(weight)
    layer.module.bias = nn.Parameter(_bias(layer, norm, factor_O), requires_grad=False)


def _halve_(layer: WeightedLayer, stored: StoredWeight | HalfFloat) -> Stored:
    if isinstance(stored, StoredWeight):
        scale = halved(stored.scale, what=f"a scale of {layer.name}", way_out=_SCALES)
        stored = _rescale_(layer, stored, scale)
    if layer.module.bias is not None:
        bias = layer.module.bias.numpy()
        bias_O = halved(bias, what=f"a bias of {layer.name}", way_out=_SCALES)
        layer.module.bias.copy_(torch.from_numpy(bias_O))
    return stored


def _rescale_(
    layer: WeightedLayer, stored: StoredWeight, scale: NDArray[np.float32]
) -> StoredWeight:
    stored = replace(stored, scale=scale)
    layer.module.weight.copy_(torch.from_numpy(stored.values()))
    return stored


def scaled(stored: Stored, factor_O: NDArray[np.float64]) -> Stored:
    """Multiply a stored weight by one factor per output channel."""
    match stored:
        case HalfFloat():
            factor_O1 = _broadcast(factor_O, stored.values_OI.ndim)
            values_OI = stored.values_OI * factor_O1
            return HalfFloat(values_OI=halved(values_OI, what="a weight", way_out=_WEIGHTS))
        case SparseFloat():
            values_OI = stored.values_OI * _broadcast(factor_O, stored.values_OI.ndim)
            return SparseFloat(values_OI=values_OI.astype(np.float32))
        case StoredWeight():
            sign_O = np.where(factor_O < 0, -1, 1).astype(np.int8)
            integers_OI = stored.integers_OI * _broadcast(sign_O, stored.integers_OI.ndim)
            scale = stored.scale if stored.scale.ndim == 2 else stored.scale.reshape(-1, 1)
            scale = (scale * np.abs(factor_O)[:, None]).astype(np.float32)
            if stored.scale.ndim < 2:
                scale = scale[:, 0]
            return StoredWeight(integers_OI=integers_OI, scale=_one_if_equal(scale))


def _one_if_equal(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one scale if all are equal: a grid per tensor was made for the folded weight."""
    first = scale.ravel()[0]
    same = scale.ndim == 1 and np.allclose(scale, first, rtol=1e-5, atol=0)
    return first.reshape(()) if same else scale


def _bias(layer: WeightedLayer, norm: Norm, factor_O: Tensor) -> Tensor:
    assert norm.running_mean is not None  # kept wherever the variance is
    before_O = layer.module.bias.double() if layer.module.bias is not None else 0.0
    after_O = norm.bias.double() if norm.bias is not None else 0.0
    return ((before_O - norm.running_mean.double()) * factor_O + after_O).float()


def _per_channel(factor_O: Tensor, layer: WeightedLayer) -> Tensor:
    return factor_O.view(-1, *[1] * (layer.module.weight.ndim - 1))


def _broadcast(factor_O: NDArray[Any], rank: int) -> NDArray[Any]:
    return factor_O.reshape(-1, *[1] * (rank - 1))
