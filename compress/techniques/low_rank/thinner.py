"""Build the layers that replace one layer.

They are named ``first``, ``core`` and ``last``; the bias, and the BatchNorm behind, stay with the
last one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.running.weight_views import Weighted, view_of
from compress.techniques.low_rank import factorisation
from compress.techniques.low_rank.factorisation import Factors


def build(layer: Weighted, factors: Factors, *, bias: Tensor | None) -> nn.Sequential:
    """Build the factors of a linear layer, a table or an ungrouped 2-d convolution in a row.

    Those of a table are a narrower table and a linear layer.
    """
    names = ("first", "last") if len(factors.weights) == 2 else ("first", "core", "last")
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, weight in zip(names, factorisation.balanced(factors.weights), strict=True):
        has_bias = name == "last" and bias is not None
        if isinstance(layer, EmbeddingTable) and name == "first":
            part = EmbeddingTable(torch.empty_like(weight, dtype=layer.weight.dtype))
        elif isinstance(layer, nn.Linear | EmbeddingTable):
            part = nn.utils.skip_init(
                nn.Linear, *weight.shape[::-1], bias=has_bias, dtype=layer.weight.dtype
            )
        else:
            assert isinstance(layer, nn.Conv2d)
            part = _convolution(layer, weight, bias=has_bias, axes=_axes(factors, name))
        _fill(part, weight, bias if has_bias else None)
        parts[name] = part
    return nn.Sequential(parts).train(layer.training)


@torch.no_grad()
def macs(row: Sequence[nn.Module], input_shape: tuple[int, ...]) -> int:
    """Count the multiplications of a sequence of layers for one image."""
    x = torch.zeros(1, *input_shape, dtype=row[0].get_parameter("weight").dtype)
    total = 0
    for part in row:
        y = part(x)
        total += part.get_parameter("weight").numel() * view_of(part).positions(part, x, y)
        x = y
    return total


def _axes(factors: Factors, name: str) -> tuple[bool, bool]:
    """Whether this factor has the kernel's rows and its columns, with their stride and padding."""
    if factors.method == "spatial":
        return name == "first", name == "last"
    has_kernel = name == ("first" if factors.method == "channel" else "core")
    return has_kernel, has_kernel


def _convolution(
    layer: nn.Conv2d, weight: Tensor, *, bias: bool, axes: tuple[bool, bool]
) -> nn.Module:
    padding = layer.padding
    if isinstance(padding, tuple):
        padding = tuple(p if has else 0 for p, has in zip(padding, axes, strict=True))
    return nn.utils.skip_init(
        nn.Conv2d,
        weight.shape[1],
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(s if has else 1 for s, has in zip(layer.stride, axes, strict=True)),
        padding=padding,
        dilation=tuple(d if has else 1 for d, has in zip(layer.dilation, axes, strict=True)),
        bias=bias,
        padding_mode=layer.padding_mode,
        dtype=layer.weight.dtype,
    )


@torch.no_grad()
def _fill(part: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    part.get_parameter("weight").copy_(weight)
    if bias is not None:
        part.get_parameter("bias").copy_(bias)
