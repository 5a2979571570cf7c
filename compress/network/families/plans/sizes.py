"""Height and width of maps behind the nodes of a plan. Torch-free."""

from __future__ import annotations

from compress.network.families.plans.plan import (
    Border,
    Change,
    Conv,
    Flatten,
    Pad,
    Pool,
    Resize,
    Size,
)
from compress.values.errors import InvalidCandidate

POINT: Size = (1, 1)
"""The size of a vector, and of maps that are their own means."""


def strided(layer: Conv | Pad, size: Size) -> Size:
    """Return what a convolution or a pad shortcut makes of maps of a size."""
    if isinstance(layer, Pad):
        return _stepped(size, POINT, (layer.stride, layer.stride), (0, 0))
    return _stepped(size, layer.kernel, layer.steps, layer.zeros)


def changed(node: Change, size: Size) -> Size:
    """Return what a node without weights makes of maps of a size.

    Raises InvalidCandidate where maps cannot be laid out as a vector at that size.
    """
    match node:
        case Pool(kind="global"):
            return POINT
        case Flatten():
            _check_flattens(node.side, size)
            return POINT
        case Pool():
            zeros, steps = (node.kernel - 1) // 2, (node.stride, node.stride)
            missing = node.stride - 1 if node.round_up else 0
            whole = (size[0] + missing, size[1] + missing)
            return _stepped(whole, (node.kernel, node.kernel), steps, (zeros, zeros))
        case Resize():
            return (node.side, node.side)
        case Border():
            return (size[0] + node.below, size[1] + node.right)
        case _:
            return size


def _check_flattens(side: int, size: Size) -> None:
    if any(length % side for length in size):
        raise InvalidCandidate(
            f"maps of {size[0]}x{size[1]} pixels cannot be averaged to {side}x{side}: their sides "
            f"must be multiples of {side}. Give the network a resolution, or average to 1x1"
        )


def _stepped(size: Size, kernel: Size, steps: Size, zeros: Size) -> Size:
    height, width = (
        (side + 2 * pad - k) // step + 1
        for side, k, step, pad in zip(size, kernel, steps, zeros, strict=True)
    )
    return height, width
