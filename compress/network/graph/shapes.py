"""The shape of every tensor of a graph once its dynamic axes have sizes. Torch-free.

Nothing runs: shapes follow from ONNX's own rules, one node after the other, and what a graph
computes from shapes (``Shape -> Gather -> Concat -> Reshape``) is computed with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, TypeProto, numpy_helper
from onnx.checker import ValidationError
from onnx.defs import OpSchema
from onnx.reference.ops import load_op
from onnx.shape_inference import InferenceError, infer_node_outputs

from compress.network.graph.values import OPSET, Array, Graph, GraphPort, Node, Shapes
from compress.network.graph.writing.protos import node_proto
from compress.values.errors import InvalidNetwork

ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InferenceError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValidationError,
    ValueError,
)
"""What ONNX's libraries may raise of a file that is no proper model."""
_MOST_ELEMENTS = 1024
"""Of a tensor whose values are followed: shapes, axes, indices."""
_WITHOUT_RULE = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
"""Operators for which ONNX has no inference: their output has the type of their input."""


def bind(graph: Graph, sizes: Mapping[str, int]) -> Shapes:
    """Give every dynamic axis of the inputs its size, and infer what follows.

    A tensor whose shape depends on values is absent. Raises InvalidNetwork naming the node whose
    inputs do not fit each other at these sizes.
    """
    return bound(graph, sizes).shapes


@dataclass(frozen=True, kw_only=True)
class BoundGraph:
    """The shape of every tensor, and the values of small ones that depend on nothing but shapes.

    ``types`` are the numbers that ONNX gives to types of elements.
    """

    shapes: Shapes
    values: Mapping[str, Array]
    types: Mapping[str, int]


def bound(graph: Graph, sizes: Mapping[str, int]) -> BoundGraph:
    """Infer as ``bind`` does, and keep the values that follow from shapes alone."""
    inference = _Inference(graph)
    for port in graph.inputs:
        inference.enter(port.name, np.dtype(port.dtype), _sizes(port, sizes))
    for node in graph.nodes:
        inference.pass_through(node)
    types = {name: made.tensor_type.elem_type for name, made in inference.types.items()}
    return BoundGraph(shapes=inference.shapes, values=inference.values, types=types)


def _sizes(port: GraphPort, sizes: Mapping[str, int]) -> tuple[int, ...]:
    missing = [axis for axis in port.shape if isinstance(axis, str) and axis not in sizes]
    if missing:
        raise InvalidNetwork(f"input {port.name[:80]!r} needs a size for axis {missing[0][:80]!r}")
    return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in port.shape)


@dataclass
class _Inference:
    """What is known of the tensors so far."""

    graph: Graph
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    types: dict[str, TypeProto] = field(default_factory=dict[str, TypeProto])
    values: dict[str, Array] = field(default_factory=dict[str, Array])

    def __post_init__(self) -> None:
        for name, tensor in self.graph.tensors.items():
            self.enter(name, tensor.dtype, tensor.shape)

    def enter(self, name: str, dtype: np.dtype[Any], shape: Sequence[int]) -> None:
        """Note the type and shape of a tensor that no node makes."""
        number = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self.types[name] = onnx.helper.make_tensor_type_proto(number, list(shape))
        self.shapes[name] = tuple(shape)

    def pass_through(self, node: Node) -> None:
        """Infer what the node makes. Raises InvalidNetwork if its inputs do not fit."""
        for name, made in self._inferred(node):
            self.types[name] = made
            shape = _shape(made)
            if shape is not None:
                self.shapes[name] = shape
        wrong = _misfit(node, self.shapes)
        if wrong is not None:
            raise InvalidNetwork(f"{node.op} (node {node.name[:80]!r}) does not fit: {wrong}")
        with np.errstate(all="ignore"):
            self.values.update(self._computed(node))

    def _inferred(self, node: Node) -> Iterator[tuple[str, TypeProto]]:
        read = {name for name in node.inputs if name}
        if not read <= self.types.keys():
            return
        if node.op in _WITHOUT_RULE:
            yield node.output, self.types[node.inputs[0]]
            return
        proto = node_proto(node)
        types = {name: self.types[name] for name in read}
        try:
            found = infer_node_outputs(_schema(node), proto, types, self._data(proto))
        except ERRORS as error:
            raise InvalidNetwork(
                f"{node.op} (node {node.name[:80]!r}) does not fit its inputs "
                f"{[list(self.shapes.get(name, ())) for name in node.inputs]}: {_words(error)}"
            ) from error
        yield from ((name, made) for name, made in found.items() if name)

    def _data(self, proto: NodeProto) -> dict[str, TensorProto]:
        known = {name: self._value(name) for name in proto.input}
        return {
            name: numpy_helper.from_array(np.asarray(value), name)
            for name, value in known.items()
            if value is not None
        }

    def _value(self, name: str) -> Array | None:
        value = self.graph.tensors.get(name, self.values.get(name))
        return value if value is not None and value.size <= _MOST_ELEMENTS else None

    def _computed(self, node: Node) -> dict[str, Array]:
        """The values that the node makes, if they follow from shapes and are few."""
        shape = self.shapes.get(node.inputs[0]) if node.inputs else None
        if node.op in {"Shape", "Size"}:
            return {} if shape is None else {node.output: _measured(node, shape)}
        made = [self.shapes.get(name) for name in node.outputs if name]
        inputs = [self._value(name) if name else None for name in node.inputs]
        absent = any(
            name and value is None for name, value in zip(node.inputs, inputs, strict=True)
        )
        if absent or any(s is None or math.prod(s) > _MOST_ELEMENTS for s in made):
            return {}
        return _evaluated(node, inputs)


def _evaluated(node: Node, inputs: list[Array | None]) -> dict[str, Array]:
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    try:
        if node.op == "GatherElements":
            outputs = _gathered(node, inputs)
        else:
            outputs = load_op("", node.op, OPSET).eval(
                *inputs, n_outputs=len(node.outputs), **attributes
            )
    except ERRORS as e:
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) cannot compute sizes: {_words(e)}"
        ) from e
    found = outputs if isinstance(outputs, tuple) else (outputs,)
    return {n: np.asarray(v) for n, v in zip(node.outputs, found, strict=False) if n}


def _gathered(node: Node, inputs: list[Array | None]) -> Array:
    """What ONNX's reference fails at where there is more to choose from than numpy's choose has."""
    values, indices = inputs[:2]
    assert values is not None
    assert indices is not None
    axis = node.integer("axis", 0)
    return np.take_along_axis(values, indices % values.shape[axis], axis)


def _schema(node: Node) -> OpSchema:
    return onnx.defs.get_schema(node.op, OPSET, "")


def _measured(node: Node, shape: tuple[int, ...]) -> Array:
    if node.op == "Size":
        return np.asarray(math.prod(shape), np.int64)
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return np.asarray(shape[start:end], np.int64)


def _shape(made: TypeProto) -> tuple[int, ...] | None:
    tensor = made.tensor_type
    if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[-300:]


def _misfit(node: Node, shapes: Shapes) -> str | None:
    """Say what does not fit where ONNX's own rules do not look; None if all fits, or is unknown."""
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
    if len(data) != 3 or len(weight) != 3 or data[2] != weight[2]:
        return f"weights {list(weight)} are not for an input {list(data)}"
    batch = data[0 if node.integer("layout", 0) else 1]
    for state in (shapes[name] for name in node.inputs[5:7] if name in shapes):
        if len(state) != 3 or state[0 if node.integer("layout", 0) else 1] != batch:
            return f"an initial state {list(state)} is not for an input {list(data)}"
    return None


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
