"""What the layers of a network see on the calibration images: second moments of their inputs.

A layer is a matrix product ``W x`` for every image and position; ``E[x x^T]`` of those columns is
all that rounding needs to know of the data, since the mean squared error of the output is
``d E[x x^T] d^T`` for a row ``d`` of weight errors.

Legend: B images, C channels, H height, W width, N columns (images and positions), S groups of a
convolution, K weights of an output channel, k those of one of its inputs, O output channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.layers import Weighted, WeightedLayer
from compress.network.network import Network
from compress.network.running import foreign, readers
from compress.training import calibration, inference
from compress.training.context import TrialContext
from compress.values.errors import NumericalError

_MOST_COLUMNS = 16_384
"""Of a layer, at equal distances: more of them change the moments little and cost time."""
_MOST_VALUES = 2**22
"""Of all images together: they pass the network as one batch where order matters."""
_BATCH = 32


def calibration_images(network: Network, context: TrialContext, *, num_images: int) -> Tensor:
    """Prepared training images on the context's device, fewer where they are large.

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
    """``E[x x^T]`` of shape ``(S, K, K)``, float32, for each of the layers by name.

    Raises NumericalError when an input of a layer is not finite.
    """
    sums: dict[str, Tensor] = {}
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
    return {name: _mean(name, total) for name, total in sums.items()}


def columns(layer: Weighted, x: Tensor, *, most: int | None = None) -> Tensor:
    """The inputs of every output position, ``(S, N, K)``, in the order of the weight's entries.

    With ``most``, that many of them at equal distances at most: only these are ever copied, the
    windows of a convolution are a view of its input.
    """
    if isinstance(layer, nn.Linear):
        x_NK = x.reshape(-1, x.shape[-1])
        return x_NK[_taken(len(x_NK), most, x.device)][None]
    if isinstance(layer, nn.Conv1d):
        x_BCHW, padding = x[:, :, None], (*_padding(layer), 0, 0)
        kernel, stride, dilation = (1, *layer.kernel_size), (1, *layer.stride), (1, *layer.dilation)
    else:
        x_BCHW, padding = x, _padding(layer)
        kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = functional.pad(x_BCHW, padding, mode=mode)
    for axis, size, step, gap in zip((2, 3), kernel, stride, dilation, strict=True):
        windows = windows.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
    height, width = windows.shape[2:4]
    taken_N = _taken(len(x) * height * width, most, x.device)
    image_N, place_N = taken_N // (height * width), taken_N % (height * width)
    x_NCk = windows[image_N, :, place_N // width, place_N % width]
    return x_NCk.reshape(len(taken_N), layer.groups, -1).transpose(0, 1)


def _taken(number: int, most: int | None, device: torch.device) -> Tensor:
    if most is None or number <= most:
        return torch.arange(number, device=device)
    return torch.linspace(0, number - 1, most, device=device).long()


def _add(
    sums: dict[str, Tensor],
    name: str,
    share: float,
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    assert isinstance(layer, Weighted)
    x_SNK = columns(layer, readers.given(args, kwargs), most=max(1, int(_MOST_COLUMNS * share)))
    total = torch.cat([x_SNK, x_SNK.new_ones(*x_SNK.shape[:2], 1)], dim=2)
    moment = (total.mT @ total).double()
    sums[name] = sums[name] + moment if name in sums else moment


def _mean(name: str, total_SKK: Tensor) -> Tensor:
    """The last entry counts the columns: a column of ones rode along."""
    if not bool(torch.isfinite(total_SKK).all()):
        raise NumericalError(f"an input of layer {name} is not finite on the calibration images")
    return (total_SKK[:, :-1, :-1] / total_SKK[0, -1, -1]).float()


def _padding(layer: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
    """Zeros before and after every dimension, last dimension first, as ``functional.pad`` wants."""
    sides: list[int] = []
    for index in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            whole = layer.dilation[index] * (layer.kernel_size[index] - 1)
            sides += [whole // 2, whole - whole // 2]
        elif isinstance(layer.padding, str):
            sides += [0, 0]
        else:
            sides += [layer.padding[index]] * 2
    return tuple(sides)
