"""Record what the layers of a network read on some training images.

Legend: B images of a batch, G groups of a convolution, I inputs of a weight (kernel included).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running import foreign, readers
from compress.network.running.weight_views import Weighted, is_weighted, view_of
from compress.network.signature import ExampleShape
from compress.tasks.images import Images
from compress.training import inference
from compress.values.errors import InvalidData, NumericalError

_BATCH_SIZE = 32

Watch = Callable[[str, Weighted, Any, float], None]
"""Told a layer's name, the layer (a copy in eval mode on the device), one batch of input (a tuple
of several tensors), and the share of all images that it is of."""


def check(images: Images, *, input_shape: ExampleShape) -> None:
    """Raise InvalidData if there are no images or if their shape is not the expected one.

    Anything measured on no images would be wrong without a sign of it.
    """
    if len(images) == 0 or tuple(images.x_NCHW.shape[1:]) != input_shape:
        raise InvalidData(
            f"calibration needs at least one training image of shape {input_shape}, got "
            f"{len(images)} of shape {tuple(images.x_NCHW.shape[1:])}"
        )


def sample(images: Images, *, num_images: int, input_shape: ExampleShape) -> Tensor:
    """Return ``num_images`` raw images, evenly spaced through the split: always the same ones.

    Raises InvalidData if there are none or if their shape is not the expected one.
    """
    check(images, input_shape=input_shape)
    taken = min(num_images, len(images))
    rows = torch.linspace(0, len(images) - 1, taken, dtype=torch.float64).round().long()
    return images.x_NCHW[rows]


@torch.no_grad()
def watch(
    network: Network,
    found: Sequence[WeightedLayer],
    x_NCHW: Tensor,
    *,
    device: torch.device,
    see: Watch,
) -> None:
    """Run raw images through the network in eval mode and pass each layer's input to ``see``."""
    module = inference.copied_to(device, network).eval()
    prepare = inference.preparation_of(network, device)
    batch = _Batch()
    for layer in found:
        part = module.get_submodule(layer.name)
        part.register_forward_pre_hook(_hook(layer.name, see, batch), with_kwargs=True)
    for x_BCHW in x_NCHW.split(_BATCH_SIZE):
        batch.share = len(x_BCHW) / len(x_NCHW)
        foreign.run(module, prepare(x_BCHW.to(device)))


def mean_squares(
    network: Network, found: Sequence[WeightedLayer], x_NCHW: Tensor, *, device: torch.device
) -> Mapping[str, Tensor]:
    """Return ``E[x^2]`` for every input of every layer, float32 on the CPU.

    The shape is ``(G, I / G, ...)``: that of the layer's weight with one output channel per
    group. The mean is over images and positions, including the zeros of the padding. Raises
    NumericalError if a mean is not finite.
    """
    sums: dict[str, Tensor] = {}

    def see(name: str, layer: Weighted, x: Any, share: float) -> None:
        sums[name] = sums.get(name, 0) + share * view_of(layer).mean_squares(layer, x).cpu()

    watch(network, found, x_NCHW, device=device, see=see)
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            raise NumericalError(f"the input of {name} is not finite on the calibration images")
    return sums


@dataclass
class _Batch:
    """The share of all images that are in the batch now running."""

    share: float = 1.0


def _hook(
    name: str, see: Watch, batch: _Batch
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert is_weighted(layer)
        see(name, layer, readers.given(args, kwargs), batch.share)

    return hook
