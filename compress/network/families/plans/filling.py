"""The constants of a narrower graph, back in the layers of a torch network.

It is ``absorbing`` the other way, for networks that run by something else than their graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from compress.network.graph.values import Array, Graph, Node
from compress.network.graph.view.operators.site import unsupported
from compress.network.running.weight_views import Weighted, is_weighted, view_of


def fill_(module: nn.Module, graph: Graph, layers: Mapping[str, str]) -> None:
    """Give the layers, in place, what the nodes that stand for them hold in the graph.

    ``layers`` names them by their nodes; a node of none is left out. Raises InvalidNetwork for a
    layer that holds constants and is neither a convolution, nor linear, nor a BatchNorm.
    """
    parts = dict(module.named_modules())
    for node in graph.nodes:
        part = parts.get(layers.get(node.name, ""))
        constants = [graph.tensors.get(name) for name in node.inputs]
        if is_weighted(part):
            _fill_weighted_(part, node, constants)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            _fill_norm_(part, constants)
        elif part is not None and next(part.parameters(), None) is not None:
            raise unsupported(node, f"is a {type(part).__name__}, which cannot lose channels")


def _fill_weighted_(part: Weighted, node: Node, constants: Sequence[Array | None]) -> None:
    """Set weight and bias; a MatMul holds its weight the other way round than a linear layer."""
    _, weight, *rest = constants
    assert weight is not None
    part.weight = _parameter(weight.T if node.op == "MatMul" else weight, part.weight)
    if part.bias is not None:
        bias, *_ = rest
        assert bias is not None
        part.bias = _parameter(bias, part.bias)
    groups = node.integer("group", 1)
    outputs, inputs = part.weight.shape[:2]
    view_of(part).resize_(part, inputs=inputs * groups, outputs=outputs, groups=groups)


def _fill_norm_(
    part: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, constants: Sequence[Array | None]
) -> None:
    _, weight, bias, mean, variance = constants
    assert weight is not None
    assert bias is not None
    assert mean is not None
    assert variance is not None
    part.weight, part.bias = _parameter(weight, part.weight), _parameter(bias, part.bias)
    part.running_mean = _tensor(mean, part.weight)
    part.running_var = _tensor(variance, part.weight)
    part.num_features = len(weight)


def _parameter(values: Array, own: Tensor) -> nn.Parameter:
    """Return the values as a parameter that is where the layer's own is, and as trainable."""
    return nn.Parameter(_tensor(values, own), requires_grad=own.requires_grad)


def _tensor(values: Array, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
