"""Activations on grids of signed bytes around 0, for runtimes that know no zero point. Torch-free.

A grid of unsigned bytes from ``-z s`` to ``(255 - z) s`` becomes one of signed bytes whose scale is
the larger end over 127. One that began at 0 may have stood for a Relu, which is written out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_BYTE, _TOP = 255, 127
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_NO_NEGATIVES = frozenset({"Relu", "Sigmoid", "Softmax", "HardSigmoid"})


def with_symmetric_grids(model: ModelProto) -> None:
    """Put activations on symmetric grids, and give layers float biases, in place."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    made: dict[str, TensorProto] = {}
    nodes = [new for node in model.graph.node for new in _nodes(node, tensors, makers, made)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {o.name for o in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *made.values()])


def _nodes(
    node: NodeProto,
    tensors: dict[str, TensorProto],
    makers: dict[str, NodeProto],
    made: dict[str, TensorProto],
) -> Iterator[NodeProto]:
    """Yield what takes the node's place, and put the tensors that it needs into ``made``."""
    held = tensors.get(node.input[0]) if node.op_type == _DEQUANTIZE else None
    if held is not None and held.data_type == TensorProto.INT32:
        _keep(made, node.output[0], _decoded(held, tensors[node.input[1]]))
        return
    zero = tensors.get(node.input[2]) if len(node.input) > 2 else None
    is_grid = node.op_type in (_QUANTIZE, _DEQUANTIZE) and held is None
    if not is_grid or zero is None or zero.data_type != TensorProto.UINT8:
        yield node
        return
    if node.op_type == _QUANTIZE and not numpy_helper.to_array(zero).any():
        yield from _without_negatives(node, makers)
    scale, point = (f"{node.input[1]}.{node.input[2]}.{end}" for end in ("scale", "zero"))
    _keep(made, scale, _scale(numpy_helper.to_array(tensors[node.input[1]]), zero))
    _keep(made, point, np.zeros(zero.dims, np.int8))
    node.input[1], node.input[2] = scale, point
    yield node


def _without_negatives(node: NodeProto, makers: dict[str, NodeProto]) -> Iterator[NodeProto]:
    maker = makers.get(node.input[0])
    if maker is None or maker.op_type not in _NO_NEGATIVES:
        name = f"{node.output[0]}.relu"
        yield helper.make_node("Relu", [node.input[0]], [name])
        node.input[0] = name


def _scale(scale: np.ndarray, zero: TensorProto) -> np.ndarray:
    point = numpy_helper.to_array(zero).astype(np.float32)
    return (scale * np.maximum(point, _BYTE - point) / _TOP).astype(np.float32)


def _decoded(integers: TensorProto, scale: TensorProto) -> np.ndarray:
    values = numpy_helper.to_array(integers).astype(np.float32)
    return (values * numpy_helper.to_array(scale)).astype(np.float32)


def _keep(made: dict[str, TensorProto], name: str, values: np.ndarray) -> None:
    made[name] = numpy_helper.from_array(np.asarray(values), name)
