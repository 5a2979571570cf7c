"""Measure the second moments of the layers' inputs on the calibration images.

A layer is a matrix product ``W x`` for every image and position. ``E[x x^T]`` of those columns is
all that rounding needs to know of the data, since the mean squared error of the output is
``d E[x x^T] d^T`` for a row ``d`` of weight errors.

Legend: B images, C channels, H height, W width, N columns (images and positions), S groups of a
convolution, K weights of an output channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import foreign, readers
from compress.network.running.weight_views import is_weighted, view_of
from compress.training import calibration, inference
from compress.training.context import TrialContext
from compress.values.errors import NumericalError

_MOST_COLUMNS = 16_384
"""Of a layer, at equal distances: more of them change the moments little and cost time."""
_MOST_VALUES = 2**22
"""Of all images together: they pass the network as one batch where order matters."""
_BATCH = 32


def calibration_images(network: Network, context: TrialContext, *, num_images: int) -> Tensor:
    """Return prepared training images on the context's device, fewer if they are large.

    Raises InvalidData for no images or images of another shape than the network's.
    """
    most = max(16, _MOST_VALUES // math.prod(network.input_shape))
    chosen = calibration.sample(
        context.data.train, num_images=min(num_images, most), input_shape=network.input_shape
    )
    return inference.preparation_of(network, context.device)(chosen.to(context.device))


@torch.no_grad()
def second_moments(
    module: nn.Module, found: Sequence[WeightedLayer], x_BCHW: Tensor
) -> dict[str, Tensor]:
    """Return ``E[x x^T]`` of shape ``(S, K, K)``, float32, for each of the layers by name.

    ``(S, K)`` is its diagonal, where the rest is zero. Raises NumericalError if an input of a layer
    is not finite.
    """
    sums: dict[str, tuple[Tensor, int]] = {}
    share = _BATCH / max(_BATCH, len(x_BCHW))
    handles = [
        layer.module.register_forward_pre_hook(
            partial(_add, sums, layer.name, share), with_kwargs=True
        )
        for layer in found
    ]
    try:
        for chunk in x_BCHW.split(_BATCH):
            foreign.run(module, chunk)
    finally:
        for handle in handles:
            handle.remove()
    return {name: _mean(name, *total) for name, total in sums.items()}


def _add(
    sums: dict[str, tuple[Tensor, int]],
    name: str,
    share: float,
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    assert is_weighted(layer)
    x, most = readers.given(args, kwargs), max(1, int(_MOST_COLUMNS * share))
    moment, number = view_of(layer).moments(layer, x, most=most)
    before, seen = sums.get(name, (0.0, 0))
    sums[name] = moment.double() + before, number + seen


def _mean(name: str, total: Tensor, number: int) -> Tensor:
    """Divide the sums by the number of columns."""
    if not bool(torch.isfinite(total).all()):
        raise NumericalError(f"an input of layer {name} is not finite on the calibration images")
    return (total / number).float()
