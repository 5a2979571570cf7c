"""Splits into sequences, as torch's exporter writes ``chunk``, become plain splits. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compress.network.graph.rewiring import free_name, names_of, without_identities
from compress.network.graph.shapes import bind
from compress.network.graph.values import Array, Graph, Node, Shapes
from compress.values.errors import InvalidNetwork

SPLITS = frozenset({"SequenceAt", "SplitToSequence"})
"""The operators that go when a graph is unpacked."""
_MOST = 256
"""Parts of a split, and splits of a network."""


def unpacked(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """Let whoever takes an item of a split sequence read that part of a split.

    Raises InvalidNetwork if the number of parts, or which is taken, depends on values.
    """
    splits = [node for node in graph.nodes if node.op == "SplitToSequence"]
    if len(splits) > _MOST:
        raise InvalidNetwork(
            f"the network splits into sequences {len(splits)} times, at most {_MOST} are read: "
            "export it with Split"
        )
    while any(node.op == "SplitToSequence" for node in graph.nodes):
        graph = _once(graph, bind(graph, sizes))
    return graph


def _once(graph: Graph, shapes: Shapes) -> Graph:
    """Unpack the first split, whose input has a shape since all before it are unpacked."""
    first = next(node for node in graph.nodes if node.op == "SplitToSequence")
    lengths = _lengths(first, graph, shapes)
    if lengths is None or not 0 < len(lengths) <= _MOST:
        raise InvalidNetwork(
            f"SplitToSequence (node {first.name[:80]!r}) makes a sequence whose parts are not "
            "known: export the network with splits of fixed sizes"
        )
    taken = names_of(graph)
    parts = tuple(free_name(f"{first.output}_{number}", taken) for number in range(len(lengths)))
    sizes = free_name(f"{first.output}_sizes", taken)
    split = Node(
        op="Split",
        name=first.name,
        inputs=(first.inputs[0], sizes),
        outputs=parts,
        attributes={"axis": first.integer("axis", 0)},
    )
    nodes = [
        split if node is first else _reading(node, first, parts, graph) for node in graph.nodes
    ]
    tensors = {**graph.tensors, sizes: np.asarray(lengths, np.int64)}
    done = replace(graph, nodes=tuple(nodes), tensors=tensors)
    return without_identities(done, lambda node: node.op == "Identity")


def _lengths(node: Node, graph: Graph, shapes: Shapes) -> list[int] | None:
    """The size of every part; None if that is not known."""
    axis, shape = node.integer("axis", 0), shapes.get(node.inputs[0])
    sizes = graph.tensors.get(node.inputs[1]) if len(node.inputs) > 1 else np.asarray(1)
    if shape is None or sizes is None or not -len(shape) <= axis < len(shape):
        return None
    return _parts(sizes, shape[axis]) if node.integer("keepdims", 1) else None


def _parts(sizes: Array, total: int) -> list[int]:
    if sizes.ndim:
        return [int(size) for size in sizes]
    size = int(sizes)
    if size < 1 or total > size * _MOST:
        return []
    whole = [size] * (total // size)
    return [*whole, total % size] if total % size else whole


def _reading(node: Node, split: Node, parts: tuple[str, ...], graph: Graph) -> Node:
    """The part itself in the place of the node that takes it from the sequence."""
    if split.output not in node.inputs:
        return node
    index = graph.tensors.get(node.inputs[1]) if node.op == "SequenceAt" else None
    if index is None or index.size != 1 or not -len(parts) <= index.item() < len(parts):
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) works on a sequence: export tensors only"
        )
    return replace(node, op="Identity", inputs=(parts[int(index.item())],))
