"""The shape of every tensor of a lowered plan, for processes that do not load ONNX. Torch-free.

``graph.shapes.bind`` infers the same for any graph, by ONNX's own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TypeAlias

import numpy as np

from compress.network.graph.values import Graph, Node, Shapes

_Shape: TypeAlias = tuple[int, ...]
_AXES = 2


def shapes_of(graph: Graph, *, batch: int) -> Shapes:
    """Return all shapes for so many images; the graph is one of ``lowering.lower``."""
    found = {name: constant.shape for name, constant in graph.tensors.items()}
    [port] = graph.inputs
    found[port.name] = (batch, *(int(size) for size in port.shape[1:]))
    for node in graph.nodes:
        if node.op == "Split":
            found.update(zip(node.outputs, _split(node, found), strict=True))
        else:
            found[node.outputs[0]] = _RULES.get(node.op, _same)(node, graph, found)
    return found


def _same(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    return shapes[node.inputs[0]]


def _together(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    return np.broadcast_shapes(*(shapes[name] for name in node.inputs))


def _convolved(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    batch, outputs = shapes[node.inputs[0]][0], shapes[node.inputs[1]][0]
    return (batch, outputs, *_windows(node, shapes[node.inputs[0]]))


def _pooled(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    before = shapes[node.inputs[0]]
    return (*before[:_AXES], *_windows(node, before))


def _windows(node: Node, before: _Shape) -> list[int]:
    """Return how many windows fit along each side; one that begins inside may be rounded up."""
    kernel, pads = node.integers("kernel_shape"), node.integers("pads")
    steps, rounds_up = node.integers("strides"), node.integer("ceil_mode", 0)
    found: list[int] = []
    for axis, size in enumerate(before[_AXES:]):
        room = size + pads[axis] + pads[axis + _AXES] - kernel[axis]
        number = room // steps[axis] + 1
        starts_inside = number * steps[axis] < size + pads[axis]
        found.append(number + 1 if rounds_up and room % steps[axis] and starts_inside else number)
    return found


def _averaged(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    return (*shapes[node.inputs[0]][:_AXES], 1, 1)


def _flat(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    batch, *rest = shapes[node.inputs[0]]
    return (batch, prod(rest))


def _multiplied(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    return (shapes[node.inputs[0]][0], shapes[node.inputs[1]][0])


def _joined(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    batch, _, *size = shapes[node.inputs[0]]
    return (batch, sum(shapes[name][1] for name in node.inputs), *size)


def _split(node: Node, shapes: Shapes) -> tuple[_Shape, ...]:
    batch, channels, *size = shapes[node.inputs[0]]
    each = -(-channels // len(node.outputs))
    held = (min(each, channels - each * number) for number in range(len(node.outputs)))
    return tuple((batch, one, *size) for one in held)


def _reshaped(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    before, target = shapes[node.inputs[0]], graph.tensors[node.inputs[1]].tolist()
    return tuple(before[axis] if size == 0 else size for axis, size in enumerate(target))


def _transposed(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    before = shapes[node.inputs[0]]
    return tuple(before[axis] for axis in node.integers("perm"))


def _resized(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    scales, before = graph.tensors[node.inputs[2]], shapes[node.inputs[0]]
    return tuple(int(np.floor(np.float32(n) * s)) for n, s in zip(before, scales, strict=True))


def _padded(node: Node, graph: Graph, shapes: Shapes) -> _Shape:
    before, amounts = shapes[node.inputs[0]], graph.tensors[node.inputs[1]].reshape(2, -1).sum(0)
    return tuple(size + int(more) for size, more in zip(before, amounts, strict=True))


_RULES: Mapping[str, Callable[[Node, Graph, Shapes], _Shape]] = {
    "Add": _together,
    "AveragePool": _pooled,
    "Concat": _joined,
    "Conv": _convolved,
    "Flatten": _flat,
    "Gemm": _multiplied,
    "GlobalAveragePool": _averaged,
    "MaxPool": _pooled,
    "Mul": _together,
    "Pad": _padded,
    "Reshape": _reshaped,
    "Resize": _resized,
    "Transpose": _transposed,
}
