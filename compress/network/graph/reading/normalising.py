"""One form for what files write in many: the last steps of reading. Torch-free."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from compress.network.graph.reading import quantized
from compress.network.graph.rewiring import (
    free_name,
    names_of,
    without_dead_code,
    without_identities,
)
from compress.network.graph.values import Array, Graph, Node

_HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_RECURRENT_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


def normalise(graph: Graph) -> Graph:
    """Bring a graph to inference form in float32, each parameter to one owner."""
    graph = replace(graph, nodes=tuple(_inferring(_wide(node)) for node in graph.nodes))
    graph = quantized.as_floats(graph)
    zeros = _zeros(graph)
    graph = replace(graph, nodes=tuple(_without_zero_state(n, zeros) for n in graph.nodes))
    graph = without_identities(graph, _is_identity)
    return untied(without_dead_code(graph))


def _is_identity(node: Node) -> bool:
    return node.op in {"Identity", "Dropout"}


def _wide(node: Node) -> Node:
    """A cast to 16 bits is one to 32."""
    if node.op == "Cast" and node.attributes.get("to") in _HALVES:
        return replace(node, attributes={**node.attributes, "to": int(TensorProto.FLOAT)})
    return node


def _inferring(node: Node) -> Node:
    """Leave out what only training reads: masks, batch statistics."""
    match node.op:
        case "Dropout":
            return replace(node, inputs=node.inputs[:1], outputs=node.outputs[:1], attributes={})
        case "BatchNormalization":
            kept = {k: v for k, v in node.attributes.items() if k == "epsilon"}
            return replace(node, outputs=node.outputs[:1], attributes=kept)
    return node


def _without_zero_state(node: Node, zeros: frozenset[str]) -> Node:
    """Leave out initial states that are all zeros: they would fix the hidden units."""
    places = _RECURRENT_STATES.get(node.op, ())
    inputs = tuple(
        "" if place in places and name in zeros else name for place, name in enumerate(node.inputs)
    )
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return replace(node, inputs=inputs)


def _zeros(graph: Graph) -> frozenset[str]:
    """Every tensor that is zero everywhere, whatever comes in."""
    found = {name for name, tensor in graph.tensors.items() if not tensor.any()}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else ""
        if node.op == "ConstantOfShape":
            value = node.attributes.get("value")
            if value is None or (isinstance(value, np.ndarray) and not value.any()):
                found.add(node.output)
        elif node.op in {"Expand", "Identity", "Slice", "Reshape", "Tile", "Cast"}:
            found.update({node.output} if source in found else ())
    return frozenset(found)


def untied(graph: Graph) -> Graph:
    """Give every node tensors of its own where exporters share equal ones.

    Vectors always; matrices and more if several nodes read them in the same place. An embedding
    that is also the last layer's matrix stays tied.
    """
    uses = Counter(name for node in graph.nodes for name in node.inputs if name in graph.tensors)
    kinds: dict[str, set[str]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            kinds.setdefault(name, set()).add(node.op)
    shared = {n for n, count in uses.items() if count > 1 and len(kinds[n]) == 1}
    shared |= {n for n, count in uses.items() if count > 1 and graph.tensors[n].ndim < 2}
    return _with_copies(graph, shared)


def _with_copies(graph: Graph, shared: set[str]) -> Graph:
    taken, seen = names_of(graph), set[str]()
    tensors: dict[str, Array] = dict(graph.tensors)
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for place, name in enumerate(inputs):
            if name in shared and name in seen:
                inputs[place] = free_name(f"{name}_{node.name}", taken)
                taken.add(inputs[place])
                tensors[inputs[place]] = graph.tensors[name]
            seen.add(name)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)
