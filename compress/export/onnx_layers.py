"""Match the nodes of an exported graph with the layers of the network.

An exporter may rename and transpose weights, but it writes the nodes in the order in which the
network ran. So layers and weighted nodes are matched by their order, and every pair is checked.
Nodes in between that belong to no layer, such as the projections of an attention or a convolution
written as a function, keep their floats. So do layers without a node, because nothing reads them or
something changes their weight before it is used.

Legend: O output channels, I everything else of a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from compress.network.layers import WeightedLayer

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True, kw_only=True)
class WeightedNode:
    """The layer that a node computes; ``axis`` is that of the output channels in its weight."""

    layer: str
    axis: int


def match(model: ModelProto, layers: tuple[WeightedLayer, ...]) -> dict[str, WeightedNode]:
    """Return the layers of a plain, folded network by the tensor that their node computes."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in _WEIGHTED and n.input[1] in constants]
    found: dict[str, WeightedNode] = {}
    first = 0
    for layer in layers:
        weight_OI = layer.module.weight.detach().numpy()
        for place in range(first, len(nodes)):
            node, axis = nodes[place], _output_axis(nodes[place])
            own_OI = np.moveaxis(numpy_helper.to_array(constants[node.input[1]]), axis, 0)
            if np.array_equal(own_OI, weight_OI):
                found[node.output[0]] = WeightedNode(layer=layer.name, axis=axis)
                first = place + 1
                break
    return found


def _output_axis(node: NodeProto) -> int:
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 1 if node.op_type == "MatMul" else 0
