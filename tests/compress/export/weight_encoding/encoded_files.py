"""Files that answer what an encoder has stored."""

from __future__ import annotations

from onnx import helper

from compress.export import onnx_graph
from compress.export.weight_encoding import encoder


def file_of(nodes, tensors, outputs, functions=()):
    """A model without inputs that answers ``outputs``: names, ONNX types and shapes."""
    values = [helper.make_tensor_value_info(*output) for output in outputs]
    graph = helper.make_graph(nodes, "g", [], values, list(tensors))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    encoder.Decoding(
        names={}, nodes=[], tensors={}, functions=list(functions), temporary_bytes=0
    ).declare(model)
    return model


def bytes_of(decoding):
    return bytes_read(decoding.nodes, decoding.tensors, decoding.names.values(), decoding.functions)


def bytes_read(nodes, tensors, names, functions=()):
    """Bytes of a file with these nodes and tensors, without the nodes that read them."""
    readers = [helper.make_node("Identity", [name], [f"{name}.read"]) for name in names]
    model = file_of([*nodes, *readers], tensors.values(), [], functions)
    onnx_graph.compact(model)
    return model.ByteSize() - sum(node.ByteSize() + 2 for node in model.graph.node[len(nodes) :])
