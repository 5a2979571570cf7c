"""Run strided 1x1 convolutions on the pixels that they read, and on nothing else.

With a stride of 2, a 1x1 convolution (the shortcut of a residual block) reads every second pixel
in each direction. oneDNN's AVX2 kernels for it write past the end of their buffers while they
compute gradients in channels-last memory, if fewer than 8 channels come in. With torch 2.13 on
processors without AVX-512 this was seen as crashes and as silently changed numbers next to them.
Picking the pixels first and convolving with a stride of 1 is the same sum over the same values,
and never reaches these kernels.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

_OVERRIDDEN = "_conv_forward"


def pick_pixels_(module: nn.Module) -> nn.Module:
    """Let every strided 1x1 convolution in the module pick its pixels first, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and _is_strided_pointwise(part):
            setattr(part, _OVERRIDDEN, partial(_on_picked_pixels, part))
    return module


def stride_again_(module: nn.Module) -> nn.Module:
    """Undo ``pick_pixels_``, so that the module is what it was, and exports as such."""
    for part in module.modules():
        part.__dict__.pop(_OVERRIDDEN, None)
    return module


def pointwise(
    x_BCHW: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: tuple[int, ...],
    groups: int = 1,
) -> Tensor:
    """Convolve with 1x1 kernels ``(O, C / groups, 1, 1)`` on every ``stride``-th pixel."""
    rows, columns = stride
    return functional.conv2d(x_BCHW[:, :, ::rows, ::columns], weight, bias, groups=groups)


def _is_strided_pointwise(part: nn.Conv2d) -> bool:
    return (
        part.kernel_size == (1, 1) and part.stride != (1, 1) and part.padding in ((0, 0), "valid")
    )


def _on_picked_pixels(
    part: nn.Conv2d, x_BCHW: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    return pointwise(x_BCHW, weight, bias, stride=part.stride, groups=part.groups)
