"""Count parameters and multiply-accumulates in an ONNX file itself.

What multiplies by a weight counts, as in ``torch.utils.flop_counter`` (whose FLOPs are twice these
MACs): a bias, a pool, an Add or a change of grid is not a multiply-accumulate. Of recurrent layers
the gates' matrices count, at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference

from compress.evaluation import runtime
from compress.evaluation.port_types import PORT_TYPES
from compress.export import onnx_shapes
from compress.export.weight_encoding import rows
from compress.export.weight_encoding.forms import made_by

_Shapes = dict[str, list[int]]
_CARRYING = frozenset({"DequantizeLinear", "Cast", "Mul"})


@dataclass(frozen=True, kw_only=True)
class FileCounts:
    """The number of weights and biases, however they are stored, and MACs for one input.

    A weight that is zero counts like any other: sparsity saves bytes, not parameters.
    """

    parameters: int
    macs: int


def count(model: ModelProto) -> FileCounts:
    """Count a model whose only unknown dimension is the batch."""
    constants = _constants(model)
    tables = list(rows.packed(model))
    decoding = {name for table in tables for node in table.nodes for name in node.output}
    counted = [n for n in _counted(model, constants) if decoding.isdisjoint(n.output)]
    shapes = _shapes(model, counted, [table.output for table in tables])
    producer = {name: node for node in model.graph.node for name in node.output}
    parameters = {t.codes.name: t.codes.dims[0] * shapes[t.output][-1] for t in tables}
    macs = 0
    for node in counted:
        for name in node.input[_HELD.get(node.op_type, slice(1, None))]:
            stored = _stored(name, producer)
            if stored and stored in constants:
                parameters[stored] = prod(shapes[stored])
        macs += _MACS[node.op_type](node, shapes)
    return FileCounts(parameters=sum(parameters.values()), macs=macs)


def _conv(node: NodeProto, shapes: _Shapes) -> int:
    """Count a dot product for every output value, as long as one output channel's weights."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _conv_transpose(node: NodeProto, shapes: _Shapes) -> int:
    """Count all that an input channel weighs for every value of it."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _gemm(node: NodeProto, shapes: _Shapes) -> int:
    made = shapes[node.output[0]]
    return prod(made) * prod(shapes[node.input[1]]) // made[-1]


def _matmul(node: NodeProto, shapes: _Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _recurrent(node: NodeProto, shapes: _Shapes) -> int:
    """Count ``X (T, B, I)`` by ``W (D, G H, I)``, and the state by ``R``, at every step."""
    steps, batch, _ = shapes[node.input[0]]
    return steps * batch * sum(prod(shapes[name]) for name in node.input[1:3])


_MACS: Mapping[str, Callable[[NodeProto, _Shapes], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GRU": _recurrent,
    "Gather": lambda *_: 0,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
}
_HELD: Mapping[str, slice] = {"GRU": slice(1, 4), "Gather": slice(0, 1), "LSTM": slice(1, 4)}
"""The inputs that hold weights and biases where it is not all but the first."""


def _counted(model: ModelProto, constants: set[str]) -> list[NodeProto]:
    """Return the nodes that compute with a weight, not those that decode it."""
    found = [
        node
        for node in model.graph.node
        if node.op_type in _MACS and not constants.issuperset(node.input)
    ]
    if not any(node.op_type == "Gather" for node in found):
        return found
    types = onnx_shapes.element_types(model)
    return [node for node in found if node.op_type != "Gather" or _is_table(node, constants, types)]


def _is_table(node: NodeProto, constants: set[str], types: Mapping[str, int]) -> bool:
    """Whether rows are picked from numbers that the file holds: an embedding."""
    table, axis = node.input[0], [each.i for each in node.attribute if each.name == "axis"]
    return (
        table in constants
        and types.get(table, TensorProto.FLOAT) == TensorProto.FLOAT
        and not any(axis)
    )


def _constants(model: ModelProto) -> set[str]:
    """Return all that follows from initializers alone: what a file decodes as it is loaded."""
    names = {tensor.name for tensor in model.graph.initializer} | {""}
    for node in model.graph.node:
        if names.issuperset(node.input):
            names.update(node.output)
    return names


def _stored(name: str, producer: dict[str, NodeProto]) -> str:
    """Return the tensor behind a weight: before changes of width and grid, after decoding."""
    while name in producer and producer[name].op_type in _CARRYING:
        name = producer[name].input[0]
    return name


def _shapes(model: ModelProto, counted: list[NodeProto], others: list[str]) -> _Shapes:
    single = ModelProto()
    single.CopyFrom(model)
    for value in [*single.graph.input, *single.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(single, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        # Without a shape not even the number of axes is known.
        if value.type.tensor_type.HasField("shape"):
            axes = value.type.tensor_type.shape.dim
            shapes[value.name] = [axis.dim_value for axis in axes]
    needed = [*others, *(name for node in counted for name in (node.input[0], made_by(node)))]
    unknown = [name for name in needed if 0 in shapes.get(name, [0])]
    return shapes | _shapes_seen(single, unknown)


def _shapes_seen(single: ModelProto, names: list[str]) -> dict[str, list[int]]:
    """Return the shapes of these tensors for one image of zeros, if inference gives up.

    Inference gives up behind sizes that a network computes itself, as of an Expand.
    """
    if not names:
        return {}
    watched = ModelProto()
    watched.CopyFrom(single)
    del watched.graph.output[:]
    wanted = list(dict.fromkeys(names))
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted
    )
    opened = runtime.session(watched.SerializeToString(), optimise=False)
    given = {port.name: np.zeros(port.shape, PORT_TYPES[port.type]) for port in opened.get_inputs()}
    values = runtime.outputs_of(opened, wanted, given, examples=1)
    return {name: list(value.shape) for name, value in zip(wanted, values, strict=True)}
