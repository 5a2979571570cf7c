"""A graph as an ONNX file, without torch and without an exporter."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, ValueInfoProto, numpy_helper

from compress.network.graph.values import OPSET, Attribute, Graph, GraphPort, Node

_PRODUCER = "featherweight"
_IR_VERSION = 10


def write(graph: Graph) -> ModelProto:
    """Write the graph: ports, dynamic axes and metadata as they were uploaded."""
    body = onnx.helper.make_graph(
        [node_proto(node) for node in graph.nodes],
        _PRODUCER,
        [_port(port) for port in graph.inputs],
        [_port(port) for port in graph.outputs],
        [numpy_helper.from_array(np.asarray(t), name) for name, t in graph.tensors.items()],
    )
    model = onnx.helper.make_model(
        body,
        producer_name=_PRODUCER,
        ir_version=_IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, dict(graph.metadata))
    return model


def _port(port: GraphPort) -> ValueInfoProto:
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return onnx.helper.make_tensor_value_info(port.name, dtype, list(port.shape))


def node_proto(node: Node) -> NodeProto:
    """Write one operator as it stands."""
    proto = NodeProto(op_type=node.op, name=node.name, input=node.inputs, output=node.outputs)
    proto.attribute.extend(_attribute(name, value) for name, value in node.attributes.items())
    return proto


def _attribute(name: str, value: Attribute) -> AttributeProto:
    if isinstance(value, np.ndarray):
        return onnx.helper.make_attribute(name, numpy_helper.from_array(value))
    if value == ():
        return AttributeProto(name=name, type=AttributeProto.INTS)
    return onnx.helper.make_attribute(name, value)
