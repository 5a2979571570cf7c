"""Count parameters and multiply-accumulates in an ONNX file itself.

Only Conv, Gemm and MatMul count, as in ``torch.utils.flop_counter`` (whose FLOPs are twice these
MACs): a bias, a pool, an Add or a change of grid is not a multiply-accumulate.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference

from compress.evaluation import runtime

_COUNTED = frozenset({"Conv", "Gemm", "MatMul"})
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
    shapes = _shapes(model)
    constants = _constants(model)
    producer = {name: node for node in model.graph.node for name in node.output}
    parameters: dict[str, int] = {}
    macs = 0
    for node in model.graph.node:
        if node.op_type not in _COUNTED:
            continue
        for name in node.input[1:]:
            stored = _stored(name, producer)
            if stored in constants:
                parameters[stored] = prod(shapes[stored])
        macs += _macs(node, shapes)
    return FileCounts(parameters=sum(parameters.values()), macs=macs)


def _macs(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    """Count MACs: every output value is a dot product as long as one output channel's weights."""
    outputs, weight = prod(shapes[node.output[0]]), shapes[node.input[1]]
    if node.op_type == "Conv":
        return outputs * prod(weight[1:])
    if node.op_type == "Gemm":
        return outputs * prod(weight) // shapes[node.output[0]][-1]
    return outputs * shapes[node.input[0]][-1]


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


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    single = ModelProto()
    single.CopyFrom(model)
    for value in [*single.graph.input, *single.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(single, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dimensions = value.type.tensor_type.shape.dim
        shapes[value.name] = [dimension.dim_value for dimension in dimensions]
    counted = [node for node in model.graph.node if node.op_type in _COUNTED]
    needed = [name for node in counted for name in (node.input[0], node.output[0])]
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
    image = [d.dim_value for d in single.graph.input[0].type.tensor_type.shape.dim]
    opened = runtime.session(watched.SerializeToString(), optimise=False)
    values = runtime.outputs(opened, wanted, x_NCHW=np.zeros(image, np.float32))
    return {name: list(value.shape) for name, value in zip(wanted, values, strict=True)}
