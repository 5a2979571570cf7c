"""Running a plan: how maps flow through its nodes, whoever computes the layers.

Legend: B images, C channels, H height, W width, G groups of a shuffle.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from compress.network.families.plans.plan import (
    Activate,
    Activation,
    Border,
    Cell,
    Chain,
    Change,
    Concat,
    Conv,
    Excite,
    Flatten,
    Linear,
    Node,
    Norm,
    Pad,
    Plan,
    Pool,
    Resize,
    Sum,
)

_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}


class Layers(Protocol):
    """Who computes the layers of a plan."""

    def convolve(self, layer: Conv | Pad, x_BCHW: Tensor) -> Tensor:
        """The convolution and its BatchNorm, without the activation."""
        ...

    def normalise(self, layer: Norm, x_BCHW: Tensor) -> Tensor:
        """The BatchNorm, without the activation."""
        ...

    def multiply(self, layer: Linear, x_BC: Tensor) -> Tensor:
        """The linear layer, without the activation."""
        ...

    def end_stage(self, stage: int, x_BCHW: Tensor) -> Tensor:
        """Told what a stage puts out; returns it."""
        ...


def run(plan: Plan, x_BCHW: Tensor, layers: Layers) -> Tensor:
    """Logits ``(B, K)`` of normalised images."""
    x = _chain(plan.stem, x_BCHW, layers)
    for index, blocks in enumerate(plan.stages):
        for block in blocks:
            x = _chain(block, x, layers)
        x = layers.end_stage(index, x)
    return _chain(plan.head, x, layers)


def _chain(chain: Chain, x: Tensor, layers: Layers) -> Tensor:
    for node in chain:
        x = _node(node, x, layers)
    return x


def _node(node: Node, x: Tensor, layers: Layers) -> Tensor:
    match node:
        case Conv():
            return _ACTIVATIONS[node.activation](layers.convolve(node, x))
        case Pad():
            return layers.convolve(node, x)
        case Norm():
            return _ACTIVATIONS[node.activation](layers.normalise(node, x))
        case Linear():
            return _ACTIVATIONS[node.activation](layers.multiply(node, x))
        case Excite() | Sum() | Concat() | Cell():
            return _joined(node, x, layers)
        case _:
            return _changed(node, x)


def _changed(node: Change, x: Tensor) -> Tensor:
    match node:
        case Activate():
            return _ACTIVATIONS[node.activation](x)
        case Pool():
            return _pool(node, x)
        case Resize():
            size = (node.side, node.side)
            return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        case Border():
            return functional.pad(x, (0, node.right, 0, node.below))
        case Flatten():
            return _averaged(x, node.side).flatten(1)


def _joined(node: Excite | Sum | Concat | Cell, x: Tensor, layers: Layers) -> Tensor:
    match node:
        case Excite():
            means = functional.adaptive_avg_pool2d(x, 1)
            return x * _chain((node.reduce, node.expand), means, layers)
        case Sum():
            return _sum(node, x, layers)
        case Concat():
            return _concat(node, x, layers)
        case Cell():
            return _cell(node, x, layers)


def _pool(node: Pool, x_BCHW: Tensor) -> Tensor:
    if node.kind == "global":
        return functional.adaptive_avg_pool2d(x_BCHW, 1).flatten(1)
    zeros, ceil = (node.kernel - 1) // 2, node.round_up
    if node.kind == "max":
        return functional.max_pool2d(x_BCHW, node.kernel, node.stride, zeros, ceil_mode=ceil)
    return functional.avg_pool2d(
        x_BCHW, node.kernel, node.stride, zeros, ceil_mode=ceil, count_include_pad=False
    )


def _averaged(x_BCHW: Tensor, side: int) -> Tensor:
    """Maps of ``side`` by ``side`` pixels, by a pool with equal windows, which ONNX has."""
    with warnings.catch_warnings():
        # Height and width are constants of a traced network, whatever the tracer suspects.
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python integer")
        height, width = (int(length) for length in x_BCHW.shape[2:])
    if height % side or width % side:
        raise ValueError(f"maps of {height}x{width} pixels cannot be averaged to {side}x{side}")
    return functional.avg_pool2d(x_BCHW, (height // side, width // side))


def _sum(node: Sum, x: Tensor, layers: Layers) -> Tensor:
    first, *others = (_chain(branch, x, layers) for branch in node.branches)
    for other in others:
        first = first + other
    return _ACTIVATIONS[node.activation](first)


def _concat(node: Concat, x: Tensor, layers: Layers) -> Tensor:
    parts = x.chunk(len(node.branches), dim=1) if node.split else [x] * len(node.branches)
    joined = torch.cat(
        [_chain(b, part, layers) for b, part in zip(node.branches, parts, strict=True)], dim=1
    )
    return joined if node.shuffle == 1 else shuffle(joined, node.shuffle)


def shuffle(x_BCHW: Tensor, groups: int) -> Tensor:
    """Channels dealt out in turns: one of every group, then the next of every group."""
    _, channels, height, width = x_BCHW.shape
    x_BGCHW = x_BCHW.reshape(-1, groups, channels // groups, height, width)
    return x_BGCHW.transpose(1, 2).reshape(-1, channels, height, width)


def _cell(node: Cell, x: Tensor, layers: Layers) -> Tensor:
    maps = [x]
    for edges in node.live:
        parts = [_chain(edge.chain, maps[edge.source], layers) for edge in edges]
        maps.append(sum(parts[1:], parts[0]) if parts else torch.zeros_like(x))
    return maps[-1]
