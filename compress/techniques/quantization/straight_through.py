"""Training against the grid that the file's weights will lie on.

The forward pass sees the rounded weights, the backward pass does not see the rounding
(straight-through estimator: Bengio et al., arXiv:1308.3432, section 4; Jacob et al.,
arXiv:1712.05877, section 3). The grid is symmetric with a scale per output channel. Folding
BatchNorm into a convolution multiplies a channel's weights and its scale by the same factor, so
the grid found here on unfolded weights is the one that the file gets.

Legend: O output channels, I weights per output channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compress.techniques.quantization.grid import best_scale, top


class RoundedWeight(nn.Module):
    """Maps a weight ``(O, ...)`` to its nearest point on the grid of ``bits`` bits."""

    scale_O: Tensor

    def __init__(self, weight: Tensor, *, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("scale_O", torch.ones(len(weight), device=weight.device))
        self.refresh(weight)

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        """Find the scales anew: as the writer of the file would for this weight."""
        flat_OI = weight.detach().cpu().flatten(1).numpy()
        self.scale_O.copy_(torch.from_numpy(best_scale(flat_OI, self.bits)))

    def forward(self, weight: Tensor) -> Tensor:
        """Rounded values with the gradient of the identity."""
        scale = self.scale_O.view(-1, *[1] * (weight.ndim - 1))
        limit = top(self.bits)
        rounded = (weight / scale).round().clamp(-limit, limit) * scale
        return weight + (rounded - weight).detach()


class StraightThrough:
    """The rounded weights of a module while it trains."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers = layers

    @staticmethod
    @contextmanager
    def on(module: nn.Module, *, bits: int | None, edges_8bit: bool) -> Iterator[StraightThrough]:
        """Round the trained weights of convolutions and linear layers inside the block.

        The first and the last of them keep full precision if ``edges_8bit``: 8 bits round too
        little to train against. None for ``bits`` rounds nothing.
        """
        layers = _layers(module)
        chosen = [] if bits is None else layers[1:-1] if edges_8bit else layers
        for layer in chosen:
            rounding = RoundedWeight(_weight(layer), bits=bits or 0)
            parametrize.register_parametrization(layer, "weight", rounding)
        try:
            yield StraightThrough(chosen)
        finally:
            for layer in chosen:
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)

    def refresh(self) -> None:
        """Let every layer's grid follow its weights; once per epoch is enough."""
        for layer in self._layers:
            parametrizations = layer.get_submodule("parametrizations.weight")
            rounding = parametrizations.get_submodule("0")
            original = parametrizations.get_parameter("original")
            assert isinstance(rounding, RoundedWeight)
            rounding.refresh(original)


def _layers(module: nn.Module) -> list[nn.Module]:
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.requires_grad
    ]


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")
