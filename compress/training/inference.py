"""Compute the logits of a network for raw images.

Legend: N images, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from compress.network import affine
from compress.network.network import Network, ShouldStop, never
from compress.network.preprocessing import Normalisation
from compress.network.running import foreign, memory_format, strided
from compress.network.signature import IMAGE_AXES
from compress.tasks.task import View
from compress.values.errors import Stopped

BATCH_SIZE = 500


@dataclass(frozen=True)
class Preparation:
    """Turns raw values into what the first layer expects, with one multiply and one add per value.

    ``shift_C11`` is None if no mean is far from zero (``compress.network.affine``).
    """

    factor_C11: Tensor
    offset_C11: Tensor
    shift_C11: Tensor | None
    memory_format: torch.memory_format = torch.channels_last

    @property
    def device(self) -> torch.device:
        """The device on which images must be."""
        return self.factor_C11.device

    def __call__(self, x_BCHW: Tensor, view: View | None = None) -> Tensor:
        """Return normalised float32 images in the network's memory format, seen through ``view``.

        The view is applied last, so that it pads with the normalised 0, the mean of the channel,
        whatever the range of the raw values.
        """
        x_BCHW = x_BCHW.to(torch.float32, memory_format=self.memory_format)
        if self.shift_C11 is not None:
            x_BCHW = x_BCHW - self.shift_C11
        x_BCHW = torch.addcmul(self.offset_C11, x_BCHW, self.factor_C11)
        return x_BCHW if view is None else view.apply(x_BCHW)


def preparation(
    normalisation: Normalisation, device: torch.device, *, axes: int = IMAGE_AXES
) -> Preparation:
    """Return ``(x * scale - mean) / std`` in the form of ``compress.network.affine``."""
    found = affine.affine(normalisation, axes=axes)
    return Preparation(
        factor_C11=found.factor_C11.to(device),
        offset_C11=found.offset_C11.to(device),
        shift_C11=found.shift_C11.to(device) if found.has_shift else None,
    )


def preparation_of(network: Network, device: torch.device) -> Preparation:
    """Return the network's normalisation with the memory format in which the network runs."""
    prepare = preparation(network.normalisation, device, axes=len(network.input_shape))
    return replace(prepare, memory_format=memory_format.of(network))


def copied_to(device: torch.device, network: Network) -> nn.Module:
    """Copy the module to the device, in the memory format in which it runs (see ``strided``)."""
    found = memory_format.of(network)
    module = strided.pick_pixels_(copy.deepcopy(network.module).to(device))
    return memory_format.put(memory_format.remember(module, found), found)


def back_from_device(module: nn.Module) -> nn.Module:
    """Move the module itself to the CPU, in ordinary memory, as everything else expects it."""
    return memory_format.put(strided.stride_again_(module.cpu()), torch.contiguous_format)


@torch.no_grad()
def logits(
    network: Network,
    x_NCHW: Tensor,
    *,
    device: torch.device,
    view: View | None = None,
    should_stop: ShouldStop = never,
) -> Tensor:
    """Return logits ``(N, K)``, float32 on the CPU, for raw images seen through ``view``."""
    module = copied_to(device, network).eval()
    prepare = preparation_of(network, device)
    parts: list[Tensor] = []
    for rows_B in torch.arange(len(x_NCHW)).split(BATCH_SIZE):
        if should_stop():
            raise Stopped("stopped while computing logits")
        seen = None if view is None else view.take(rows_B).to(device)
        x_BCHW = prepare(x_NCHW[rows_B].to(device), seen)
        parts.append(foreign.run(module, x_BCHW).float().cpu())
    return torch.cat(parts)
