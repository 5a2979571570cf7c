"""Views of torch's own layers: convolutions and linear layers.

Legend: B images, N columns, O output channels, I everything else of a weight, S groups of a
convolution, K = weights of an output channel, C channels, k the axes of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.running.weight_view import WeightView, taken

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


class LinearView(WeightView):
    """A linear layer, on vectors or on sequences of them."""

    kind = nn.Linear
    channel_axis = -1

    def is_normalised(self, part: nn.Linear, output: Tensor) -> bool:
        """Return whether it was given vectors: of sequences, axis 1 is the position."""
        return output.ndim == 2

    def groups(self, part: nn.Linear) -> int:
        """Return 1: every output reads every input."""
        return 1

    def sizes(self, part: nn.Linear) -> tuple[int, int]:
        """Return the numbers of input and output features."""
        return part.in_features, part.out_features

    def resize_(self, part: nn.Linear, *, inputs: int, outputs: int, groups: int) -> None:
        """Set both numbers of features."""
        part.in_features, part.out_features = inputs, outputs

    def positions(self, part: nn.Linear, x: Tensor, output: Tensor) -> int:
        """Return the number of vectors."""
        return prod(output.shape[:-1])

    def resolution(self, output: Tensor) -> int:
        """Return the product of all axes but the first and that of the features."""
        return prod(output.shape[1:-1])

    def columns(self, part: nn.Linear, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the inputs themselves, ``(1, N, K)``."""
        x_NK = x.reshape(-1, x.shape[-1])
        return x_NK[taken(len(x_NK), most, x.device)][None]

    def mean_squares(self, part: nn.Linear, x: Tensor) -> Tensor:
        """Return the mean square of each input, ``(1, I)``."""
        return x.square().flatten(0, -2).mean(0, keepdim=True)


class ConvolutionView(WeightView):
    """A convolution over any axes, with groups, strides, dilation and any padding."""

    channel_axis = 1

    def __init__(self, kind: type[_Convolution]) -> None:
        self.kind = kind

    def is_normalised(self, part: _Convolution, output: Tensor) -> bool:
        """Return whether the output has a batch and channels in front of the kernel's axes."""
        return output.ndim == 2 + len(part.kernel_size)

    def groups(self, part: _Convolution) -> int:
        """Return the convolution's groups."""
        return part.groups

    def sizes(self, part: _Convolution) -> tuple[int, int]:
        """Return the numbers of input and output channels."""
        return part.in_channels, part.out_channels

    def resize_(self, part: _Convolution, *, inputs: int, outputs: int, groups: int) -> None:
        """Set both numbers of channels, and the groups."""
        part.in_channels, part.out_channels, part.groups = inputs, outputs, groups

    def positions(self, part: _Convolution, x: Tensor, output: Tensor) -> int:
        """Return the pixels of all maps of the output, with or without an axis of images."""
        return output.numel() // part.out_channels

    def resolution(self, output: Tensor) -> int:
        """Return the pixels of a map."""
        return prod(output.shape[2:])

    def columns(self, part: _Convolution, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the window of every output pixel; windows are views of the padded input."""
        mode = "constant" if part.padding_mode == "zeros" else part.padding_mode
        x = functional.pad(x, _padding(part), mode=mode)
        found = windows(x, part.kernel_size, stride=part.stride, dilation=part.dilation)
        return in_groups(found, part.groups, most=most)

    def mean_squares(self, part: _Convolution, x: Tensor) -> Tensor:
        """Sum what each weight is multiplied with, by the gradient of a weight of ones."""
        probe = self._probe(part, x)
        with torch.enable_grad():
            weight = torch.zeros(
                part.groups, *part.weight.shape[1:], device=x.device, requires_grad=True
            )
            output = torch.func.functional_call(probe, {"weight": weight}, x.square())
            (total,) = torch.autograd.grad(output.sum(), weight)
        return total * part.groups / output.numel()

    def _probe(self, part: _Convolution, x: Tensor) -> nn.Module:
        return nn.utils.skip_init(
            self.kind,
            part.in_channels,
            part.groups,
            part.kernel_size,
            stride=part.stride,
            padding=part.padding,
            dilation=part.dilation,
            groups=part.groups,
            bias=False,
            padding_mode=part.padding_mode,
            device=x.device,
        )


def windows(
    x: Tensor, kernel: Sequence[int], *, stride: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Return the windows of maps ``(B, C, ...)`` as ``(B, C, ..., *k)``, without copying any."""
    for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
        x = x.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
    return x


def in_groups(found: Tensor, groups: int, *, most: int | None) -> Tensor:
    """Return windows ``(B, C, ..., *k)`` as columns ``(S, N, K)``; see ``WeightView.columns``."""
    places = (len(found), *found.shape[2 : 1 + found.ndim // 2])
    taken_N = taken(prod(places), most, found.device)
    image_N, *place_N = torch.unravel_index(taken_N, places)
    # The channels lie between two indices, so that those picked come first of all.
    x_NCk = found[image_N, :, *place_N]
    return x_NCk.reshape(len(taken_N), groups, -1).transpose(0, 1)


def _padding(part: _Convolution) -> tuple[int, ...]:
    """Zeros before and after every dimension, last dimension first, as ``functional.pad`` wants."""
    sides: list[int] = []
    for index in reversed(range(len(part.kernel_size))):
        if part.padding == "same":
            whole = part.dilation[index] * (part.kernel_size[index] - 1)
            sides += [whole // 2, whole - whole // 2]
        elif isinstance(part.padding, str):
            sides += [0, 0]
        else:
            sides += [part.padding[index]] * 2
    return tuple(sides)
