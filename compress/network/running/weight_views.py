"""The matrices of weights that layers hold: one view for each type of layer, in an open table.

Whatever works on the weights of a layer, rounds, shares, masks, measures or narrows them, sees
``(O, I)`` matrices and the inputs that they are multiplied with. How a type of layer holds them is
said here once. A layer of no view keeps its weights, and ``compress.techniques.coverage`` names it.

Legend: B images, N columns, O output channels, I everything else of a weight, S groups of a
convolution, K = weights of an output channel, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

Weighted = nn.Conv1d | nn.Conv2d | nn.Linear
"""For type checkers, what the types of the table have in common: ``weight`` and ``bias``."""


class WeightView(ABC):
    """How one type of layer holds its weights.

    Attributes:
        kind: The type; what derives from it has the same view.
        channel_axis: The axis of channels in inputs and outputs.
        normalised_ndim: The axes of an output in which a BatchNorm finds channels at axis 1.
    """

    kind: type[nn.Module]
    channel_axis: int
    normalised_ndim: int

    def is_plain(self, part: nn.Module) -> bool:
        """Whether the layer computes what its type does, and not something of its own."""
        return type(part).forward is self.kind.forward

    def matrix(self, weight: Tensor) -> Tensor:
        """Return a weight as its ``(O, I)`` matrix."""
        return weight.flatten(1)

    def rows(self, x: Tensor) -> Tensor:
        """Return inputs or outputs as ``(N, C)``: channels last, everything else first."""
        return x.movedim(self.channel_axis, -1).flatten(0, -2)

    @abstractmethod
    def groups(self, part: Any) -> int:
        """Return the number of groups, each of which reads channels of its own."""

    @abstractmethod
    def sizes(self, part: Any) -> tuple[int, int]:
        """Return the numbers of input and output channels."""

    @abstractmethod
    def resize_(self, part: Any, *, inputs: int, outputs: int, groups: int) -> None:
        """Tell the layer its channels and groups after its weight has changed."""

    @abstractmethod
    def positions(self, output: Tensor) -> int:
        """Return how often one image applies the weight: the pixels of a convolution's output."""

    @abstractmethod
    def columns(self, part: Any, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the inputs of every output position, ``(S, N, K)``, in the weight's order.

        With ``most``, at most that many positions at equal distances, and only these are copied.
        """

    @abstractmethod
    def mean_squares(self, part: Any, x: Tensor) -> Tensor:
        """Return the mean square of each input over images and positions, zeros of padding too.

        The shape is that of the weight with one output channel per group.
        """


class LinearView(WeightView):
    """A linear layer, on vectors or on sequences of them."""

    kind = nn.Linear
    channel_axis = -1
    normalised_ndim = 2

    def groups(self, part: nn.Linear) -> int:
        """Return 1: every output reads every input."""
        return 1

    def sizes(self, part: nn.Linear) -> tuple[int, int]:
        """Return the numbers of input and output features."""
        return part.in_features, part.out_features

    def resize_(self, part: nn.Linear, *, inputs: int, outputs: int, groups: int) -> None:
        """Set both numbers of features."""
        part.in_features, part.out_features = inputs, outputs

    def positions(self, output: Tensor) -> int:
        """Return the length of the sequence, 1 for a vector."""
        return prod(output.shape[1:-1])

    def columns(self, part: nn.Linear, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the inputs themselves, ``(1, N, K)``."""
        x_NK = x.reshape(-1, x.shape[-1])
        return x_NK[_taken(len(x_NK), most, x.device)][None]

    def mean_squares(self, part: nn.Linear, x: Tensor) -> Tensor:
        """Return the mean square of each input, ``(1, I)``."""
        return x.square().flatten(0, -2).mean(0, keepdim=True)


class ConvolutionView(WeightView):
    """A convolution over one axis or two, with groups, strides, dilation and any padding."""

    channel_axis = 1

    def __init__(self, kind: type[nn.Conv1d | nn.Conv2d], *, axes: int) -> None:
        self.kind = kind
        self.normalised_ndim = axes + 2

    def groups(self, part: nn.Conv1d | nn.Conv2d) -> int:
        """Return the convolution's groups."""
        return part.groups

    def sizes(self, part: nn.Conv1d | nn.Conv2d) -> tuple[int, int]:
        """Return the numbers of input and output channels."""
        return part.in_channels, part.out_channels

    def resize_(
        self, part: nn.Conv1d | nn.Conv2d, *, inputs: int, outputs: int, groups: int
    ) -> None:
        """Set both numbers of channels, and the groups."""
        part.in_channels, part.out_channels, part.groups = inputs, outputs, groups

    def positions(self, output: Tensor) -> int:
        """Return the pixels of the output."""
        return prod(output.shape[2:])

    def columns(self, part: nn.Conv1d | nn.Conv2d, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the window of every output pixel; windows are views of the padded input."""
        if isinstance(part, nn.Conv1d):
            x_BCHW, padding = x[:, :, None], (*_padding(part), 0, 0)
            kernel, stride, dilation = (
                (1, *part.kernel_size),
                (1, *part.stride),
                (1, *part.dilation),
            )
        else:
            x_BCHW, padding = x, _padding(part)
            kernel, stride, dilation = part.kernel_size, part.stride, part.dilation
        mode = "constant" if part.padding_mode == "zeros" else part.padding_mode
        windows = functional.pad(x_BCHW, padding, mode=mode)
        for axis, size, step, gap in zip((2, 3), kernel, stride, dilation, strict=True):
            windows = windows.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
        height, width = windows.shape[2:4]
        taken_N = _taken(len(x) * height * width, most, x.device)
        image_N, place_N = taken_N // (height * width), taken_N % (height * width)
        x_NCk = windows[image_N, :, place_N // width, place_N % width]
        return x_NCk.reshape(len(taken_N), part.groups, -1).transpose(0, 1)

    def mean_squares(self, part: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
        """Sum what each weight is multiplied with, by the gradient of a weight of ones."""
        probe = self._probe(part, x)
        with torch.enable_grad():
            weight = torch.zeros(
                part.groups, *part.weight.shape[1:], device=x.device, requires_grad=True
            )
            output = torch.func.functional_call(probe, {"weight": weight}, x.square())
            (total,) = torch.autograd.grad(output.sum(), weight)
        return total * part.groups / output.numel()

    def _probe(self, part: nn.Conv1d | nn.Conv2d, x: Tensor) -> nn.Module:
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


VIEWS: dict[type[nn.Module], WeightView] = {
    view.kind: view
    for view in (
        LinearView(),
        ConvolutionView(nn.Conv1d, axes=1),
        ConvolutionView(nn.Conv2d, axes=2),
    )
}
"""Every view by its type of layer. A new type of layer is a view and its line here."""


def find_view(part: object) -> WeightView | None:
    """Return the view of a layer's type, or of the nearest that it derives from; None without."""
    return next((VIEWS[kind] for kind in type(part).__mro__ if kind in VIEWS), None)


def view_of(part: nn.Module) -> WeightView:
    """Return the view of a layer. Raises TypeError if its type has none."""
    found = find_view(part)
    if found is None:
        kinds = ", ".join(kind.__name__ for kind in VIEWS)
        raise TypeError(f"no view covers a {type(part).__name__}, expected one of {kinds}")
    return found


def is_weighted(part: object) -> TypeGuard[Weighted]:
    """Return whether a view covers the layer."""
    return find_view(part) is not None


def _taken(number: int, most: int | None, device: torch.device) -> Tensor:
    if most is None or number <= most:
        return torch.arange(number, device=device)
    return torch.linspace(0, number - 1, most, device=device).long()


def _padding(part: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
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
