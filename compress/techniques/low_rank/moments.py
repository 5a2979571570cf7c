"""Measure what a factorisation needs to know of a layer's inputs and answers.

Legend: B images, C input channels, O output channels, H and W positions, I channels times rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.layers import WeightedLayer
from compress.network.network import Network
from compress.network.running.weight_views import Weighted, view_of
from compress.tasks.images import Images
from compress.training import calibration
from compress.values.errors import NumericalError


@dataclass(kw_only=True)
class Moments:
    """Sums over images and positions, in float64 on the CPU; their scale does not matter.

    ``input_shape`` is that of one image's input. The sums are None until something was measured.
    """

    input_shape: tuple[int, ...]
    answers_O: Tensor | None = None
    answers_OO: Tensor | None = None
    inputs_CC: Tensor | None = None
    columns_II: Tensor | None = None
    count: int = field(default=0)

    def mean(self) -> Tensor:
        """Return the mean answer per output channel."""
        assert self.answers_O is not None
        return self.answers_O / self.count

    def covariance(self, *, centred: bool) -> Tensor | None:
        """Return the second moments of the answers, about their means if ``centred``."""
        if self.answers_OO is None:
            return None
        moment_OO = self.answers_OO / self.count
        mean_O = self.mean()
        return moment_OO - torch.outer(mean_O, mean_O) if centred else moment_OO


def measure(
    network: Network,
    found: Sequence[WeightedLayer],
    images: Images,
    *,
    num_images: int,
    device: torch.device,
    pads: bool = False,
) -> Mapping[str, Moments]:
    """Measure the moments of every layer; with no images at all, only the shapes.

    ``pads`` is whether 0 fills texts up: a table's row of it is looked up, and counts for nothing.

    Raises InvalidData for images of another shape and NumericalError if a moment is not finite.
    """
    seen: dict[str, Moments] = {}
    if num_images:
        x_NCHW = calibration.sample(images, num_images=num_images, input_shape=network.input_shape)
    else:
        x_NCHW = network.blank()

    def see(name: str, layer: Weighted, x: Tensor, share: float) -> None:
        moments = seen.setdefault(name, Moments(input_shape=tuple(x.shape[1:])))
        if num_images:
            is_padded = pads and isinstance(layer, EmbeddingTable)
            _add(moments, layer, x[x != 0] if is_padded else x)

    calibration.watch(network, found, x_NCHW, device=device, see=see)
    for name, moments in seen.items():
        if moments.answers_O is not None and not bool(torch.isfinite(moments.answers_O).all()):
            raise NumericalError(f"what {name} answers is not finite on the calibration images")
    return seen


def _add(moments: Moments, layer: Weighted, x: Tensor) -> None:
    # The method itself, not the call: hooks have run already.
    view = view_of(layer)
    answers = layer.forward(x)
    assert isinstance(answers, Tensor)
    answers_NO = view.rows(answers)
    moments.count += len(answers_NO)
    moments.answers_O = _plus(moments.answers_O, answers_NO.double().sum(0).cpu())
    moments.answers_OO = _plus(moments.answers_OO, _gram(answers_NO))
    if isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.kernel_size != (1, 1):
        moments.inputs_CC = _plus(moments.inputs_CC, _gram(view.rows(x)))
        moments.columns_II = _plus(moments.columns_II, _gram(_columns(layer, x)))


def _columns(layer: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
    """Return all columns of the kernel's height, ``(N, C * h)``; outside the image is zero."""
    rows = layer.padding[0] if isinstance(layer.padding, tuple) else layer.kernel_size[0] // 2
    patches_BIN = functional.unfold(
        x_BCHW,
        (layer.kernel_size[0], 1),
        padding=(int(rows), 0),
        dilation=(layer.dilation[0], 1),
        stride=(layer.stride[0], 1),
    )
    return patches_BIN.movedim(1, -1).flatten(0, -2)


def _gram(x_NI: Tensor) -> Tensor:
    return (x_NI.T @ x_NI).double().cpu()


def _plus(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total + part
