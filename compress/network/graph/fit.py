"""Whether operands fit each other where ONNX's own shape rules do not look. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from compress.network.graph.values import Node, Shapes


def misfit(node: Node, shapes: Shapes) -> str | None:
    """Say what does not fit, in words; None if all fits or shapes are unknown."""
    check = _CHECKS.get(node.op)
    names = [name for name in (*node.inputs[:2], node.output) if name]
    if check is None or any(name not in shapes for name in names):
        return None
    return check(node, shapes)


def _reshape(node: Node, shapes: Shapes) -> str | None:
    before, after = shapes[node.inputs[0]], shapes[node.output]
    if math.prod(before) == math.prod(after):
        return None
    return f"{list(after)} has another number of elements than {list(before)}"


def _conv(node: Node, shapes: Shapes) -> str | None:
    data, weight = shapes[node.inputs[0]], shapes[node.inputs[1]]
    groups = node.integer("group", 1)
    if len(data) != len(weight) or groups < 1 or weight[0] % groups:
        return f"weights {list(weight)} in {groups} groups are not for an input {list(data)}"
    return _channels(data, weight[1] * groups)


def _transposed(node: Node, shapes: Shapes) -> str | None:
    data, weight = shapes[node.inputs[0]], shapes[node.inputs[1]]
    if len(data) != len(weight) or node.integer("group", 1) < 1:
        return f"weights {list(weight)} are not for an input {list(data)}"
    return _channels(data, weight[0])


def _norm(node: Node, shapes: Shapes) -> str | None:
    data = shapes[node.inputs[0]]
    vectors = [shapes[name] for name in node.inputs[1:] if name in shapes]
    if len(data) < 2 or any(vector != (data[1],) for vector in vectors):
        return f"vectors {[list(v) for v in vectors]} are not for an input {list(data)}"
    return None


def _recurrent(node: Node, shapes: Shapes) -> str | None:
    data, weight = shapes[node.inputs[0]], shapes[node.inputs[1]]
    if len(data) == len(weight) == 3 and data[2] == weight[2]:
        return None
    return f"weights {list(weight)} are not for an input {list(data)}"


def _channels(data: tuple[int, ...], expected: int) -> str | None:
    if data[1] == expected:
        return None
    return f"weights are for {expected} channels, the input has {data[1]} ({list(data)})"


_CHECKS: Mapping[str, Callable[[Node, Shapes], str | None]] = {
    "BatchNormalization": _norm,
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "GRU": _recurrent,
    "InstanceNormalization": _norm,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Reshape": _reshape,
}
