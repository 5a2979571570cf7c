"""A channel shuffle as one Gather: reshape, transpose and reshape only reorder an axis.

Behind a Gather every channel can be followed by itself; through the three nodes only whole rows of
them could. Zhang et al., ShuffleNet, arXiv:1707.01083. Torch-free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compress.network.graph.coupling.operands import integers, numbers
from compress.network.graph.coupling.rules.reshapes import segments
from compress.network.graph.values import Graph, Node, Shapes


@dataclass(frozen=True, kw_only=True)
class _Shuffle:
    """Three nodes, and the axis that they reorder: place ``i`` takes what was at ``places[i]``."""

    nodes: tuple[Node, Node, Node]
    axis: int
    places: NDArray[np.int64]


def as_gathers(graph: Graph, shapes: Shapes) -> tuple[Graph, Shapes]:
    """Return the graph with every shuffle along one axis as a Gather by constant places."""
    found = list(_shuffles(graph, shapes))
    if not found:
        return graph, shapes
    gone = {node.name for shuffle in found for node in shuffle.nodes[:2]}
    gathers = {shuffle.nodes[2].name: _gather(shuffle) for shuffle in found}
    places = {gathers[s.nodes[2].name].inputs[1]: s.places for s in found}
    nodes = tuple(gathers.get(node.name, node) for node in graph.nodes if node.name not in gone)
    plain = replace(graph, nodes=nodes, tensors={**graph.tensors, **places})
    return plain, {**shapes, **{name: own.shape for name, own in places.items()}}


def _gather(shuffle: _Shuffle) -> Node:
    first, _, last = shuffle.nodes
    return Node(
        op="Gather",
        name=last.name,
        inputs=(first.inputs[0], f"{last.output}:places"),
        outputs=last.outputs,
        attributes={"axis": shuffle.axis},
    )


def _shuffles(graph: Graph, shapes: Shapes) -> Iterator[_Shuffle]:
    readers = _lone_readers(graph)
    for first in graph.nodes:
        middle = readers.get(first.output)
        last = None if middle is None else readers.get(middle.output)
        if first.op != "Reshape" or middle is None or last is None:
            continue
        if (middle.op, last.op) == ("Transpose", "Reshape"):
            found = _shuffle(graph, shapes, (first, middle, last))
            if found is not None:
                yield found


def _lone_readers(graph: Graph) -> Mapping[str, Node]:
    """Return, for every tensor that one node alone reads, that node."""
    readers: defaultdict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    answers = {port.name for port in graph.outputs}
    return {name: r[0] for name, r in readers.items() if len(r) == 1 and name not in answers}


def _shuffle(graph: Graph, shapes: Shapes, nodes: tuple[Node, Node, Node]) -> _Shuffle | None:
    first, middle, last = nodes
    shape, split = shapes.get(first.inputs[0]), shapes.get(first.output)
    target = integers(graph.tensors.get(first.inputs[1]))
    order = numbers(middle, "perm")
    if shape is None or split is None or shapes.get(last.output) != shape:
        return None
    if target is None or order is None:
        return None
    parted = _parted(shape, split)
    # Sizes that the file does not fix may be others in the next run.
    if parted is None or any(target[part] <= 0 for part in parted[1]):
        return None
    axis, parts = parted
    inner = _inner_order(split, order, parts)
    if inner is None:
        return None
    lengths = [split[part] for part in parts]
    places = np.arange(shape[axis]).reshape(lengths).transpose(inner).ravel()
    return _Shuffle(nodes=nodes, axis=axis, places=places)


def _parted(shape: tuple[int, ...], split: tuple[int, ...]) -> tuple[int, list[int]] | None:
    """Return the one axis that a reshape splits, and the axes it becomes."""
    before = [axis for axis, length in enumerate(shape) if length > 1]
    behind = [axis for axis, length in enumerate(split) if length > 1]
    matched = segments([shape[axis] for axis in before], [split[axis] for axis in behind])
    changed = [pair for pair in matched if (len(pair[0]), len(pair[1])) != (1, 1)]
    if len(changed) != 1 or len(changed[0][0]) != 1:
        return None
    (axis,), parts = changed[0]
    return before[axis], [behind[part] for part in parts]


def _inner_order(
    split: tuple[int, ...], order: tuple[int, ...], parts: list[int]
) -> list[int] | None:
    """Return the order of the parts, None if others move too."""
    moved = [axis for axis in order if split[axis] > 1]
    start = sorted(moved).index(parts[0])
    inner = moved[start : start + len(parts)]
    if sorted(inner) != parts:
        return None
    outer = moved[:start] + moved[start + len(parts) :]
    return [parts.index(axis) for axis in inner] if outer == sorted(outer) else None
