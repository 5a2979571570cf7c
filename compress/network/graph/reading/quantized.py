"""Files with QuantizeLinear and DequantizeLinear around float operators, as floats. Torch-free.

A constant that is dequantized becomes a float weight. A pair on an activation becomes the clip that
its grid is: quantizers drop Relu and Clip where the range of the grid says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compress.network.graph.rewiring import free_name, names_of
from compress.network.graph.values import Array, Graph, Node
from compress.values.errors import InvalidNetwork


def as_floats(graph: Graph) -> Graph:
    """Take quantizers out. Raises InvalidNetwork where they are no pair with constant grids."""
    graph = _float_constants(graph)
    if not any(node.op in {"QuantizeLinear", "DequantizeLinear"} for node in graph.nodes):
        return graph
    tensors: dict[str, Array] = dict(graph.tensors)
    taken = names_of(graph)
    makers = {name: node for node in graph.nodes for name in node.outputs}
    nodes = [
        _clip(node, makers, tensors, taken) if node.op == "DequantizeLinear" else node
        for node in graph.nodes
        if node.op != "QuantizeLinear"
    ]
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _float_constants(graph: Graph) -> Graph:
    tensors: dict[str, Array] = dict(graph.tensors)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in {"QuantizeLinear", "DequantizeLinear"} and node.inputs[0] in tensors:
            tensors[node.output] = _constant(node, tensors)
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _constant(node: Node, tensors: Mapping[str, Array]) -> Array:
    values = tensors[node.inputs[0]]
    scale, zero = _grid(node, tensors)
    if node.attributes.get("block_size", 0):
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) has blocks: upload the float network"
        )
    if scale.ndim == 1 and values.ndim > 1:
        axis = node.attributes.get("axis", 1)
        along = [1] * values.ndim
        along[int(axis) if isinstance(axis, int) else 1] = len(scale)
        scale, zero = scale.reshape(along), zero.reshape(along)
    if node.op == "DequantizeLinear":
        return ((values.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(zero.dtype)


def _grid(node: Node, tensors: Mapping[str, Array]) -> tuple[Array, Array]:
    """Scale and zero point, which must be constants."""
    names = list(node.inputs[1:3])
    if any(name and name not in tensors for name in names):
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) has a grid that is computed: upload the float "
            "network; its bits are searched here"
        )
    scale = tensors[names[0]]
    has_zero = len(names) > 1 and names[1]
    zero = tensors[names[1]] if has_zero else np.zeros(scale.shape, np.uint8)
    return scale.astype(np.float32), zero


def _clip(
    node: Node, makers: Mapping[str, Node], tensors: dict[str, Array], taken: set[str]
) -> Node:
    """The clip that the grid of this pair is; adds its bounds to ``tensors``."""
    pair = makers.get(node.inputs[0])
    if pair is None or pair.op != "QuantizeLinear":
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) reads integers that no QuantizeLinear makes: "
            "upload the float network; its bits are searched here"
        )
    scale, zero = _grid(pair, tensors)
    if scale.size != 1:
        raise InvalidNetwork(
            f"{pair.op} (node {pair.name[:80]!r}) has a grid per channel on an activation: "
            "upload the float network"
        )
    limits = np.iinfo(zero.dtype)
    bounds = [(end - int(zero.item())) * scale.item() for end in (limits.min, limits.max)]
    names = [free_name(f"{node.output}_{end}", taken) for end in ("least", "most")]
    taken.update(names)
    tensors.update({n: np.array(b, np.float32) for n, b in zip(names, bounds, strict=True)})
    return Node(op="Clip", name=node.name, inputs=(pair.inputs[0], *names), outputs=node.outputs)
