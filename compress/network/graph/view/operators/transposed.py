"""Transposed convolutions whose weights lie as those of any other layer, output channels first.

ONNX and torch keep ``(I, O / groups, ...)``. Here it is ``(O, I / groups, ...)``, so that grids,
masks and codebooks find a row for every output channel.

Legend: I input channels, O output channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

_FUNCTIONS = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """How a kernel slides: one entry per axis.

    The output loses ``before`` and ``after`` at the ends of an axis, and gains ``more`` at the
    second one.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    more: tuple[int, ...]


class TransposedConvolution(nn.Module):
    """A transposed convolution of one to three axes; ``weight`` is ``(O, I / groups, ...)``."""

    weight: Tensor
    bias: nn.Parameter | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, sliding: Sliding, *, groups: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))
        self.sliding = sliding
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """The larger map."""
        return self.with_weight(x, self.weight, self.bias)

    def with_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The map by another weight and another bias, with any number of output channels."""
        how = self.sliding
        is_even = how.before == how.after
        y = _FUNCTIONS[weight.ndim - 2](
            x,
            turned(weight, self.groups),
            bias,
            stride=how.strides,
            padding=how.before if is_even else 0,
            output_padding=how.more,
            groups=self.groups,
            dilation=how.dilations,
        )
        if is_even:
            return y
        ends = zip(how.before, how.after, strict=True)
        crops = (slice(before, -after if after else None) for before, after in ends)
        return y[(slice(None), slice(None), *crops)]

    def extra_repr(self) -> str:
        """The shape of the weight, and how it slides."""
        return f"{tuple(self.weight.shape)}, {self.sliding}, groups={self.groups}"


def turned(weight: Tensor, groups: int) -> Tensor:
    """A weight ``(O, I / groups, ...)`` as ``(I, O / groups, ...)``, and the other way round."""
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
