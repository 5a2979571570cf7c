"""Nodes of a graph as messages of ONNX. Torch-free."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, numpy_helper

from compress.network.graph.values import Attribute, Node


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
