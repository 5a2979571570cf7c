"""A graph as an ONNX file, without torch and without an exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, numpy_helper, shape_inference

from compress.network.graph.rewiring import free_name, names_of, renamed, without_dead_code
from compress.network.graph.values import OPSET, Graph, GraphPort, Node
from compress.network.graph.writing.draft import FileDraft
from compress.network.graph.writing.protos import node_proto
from compress.network.graph.writing.spellings import OPSET_13, OPSET_21, Spelling

_PRODUCER = "featherweight"
_HALVES = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


@dataclass(frozen=True, kw_only=True)
class OpsetForm:
    """How files of an opset are written: the version of their format, and who is spelled anew."""

    ir_version: int
    spellings: Mapping[str, Spelling]


FORMS: Mapping[int, OpsetForm] = {
    13: OpsetForm(ir_version=8, spellings=OPSET_13),
    21: OpsetForm(ir_version=10, spellings=OPSET_21),
}
"""The opsets that graphs are written in."""


def write(graph: Graph, opset: int = OPSET) -> ModelProto:
    """Write the graph: ports, dynamic axes and metadata as they were uploaded.

    Raises InvalidNetwork naming an operator that the opset has no words for, and KeyError for an
    opset that is not in ``FORMS``.
    """
    form = FORMS[opset]
    spelled = _with_file_ports(_spelled(graph, opset, form.spellings))
    model = onnx.helper.make_model(
        _body(spelled),
        producer_name=_PRODUCER,
        ir_version=form.ir_version,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    onnx.helper.set_model_props(model, dict(graph.metadata))
    return model


def _body(graph: Graph) -> onnx.GraphProto:
    return onnx.helper.make_graph(
        [node_proto(node) for node in graph.nodes],
        _PRODUCER,
        [_port(port) for port in graph.inputs],
        [_port(port) for port in graph.outputs],
        [numpy_helper.from_array(np.asarray(t), name) for name, t in graph.tensors.items()],
    )


def _spelled(graph: Graph, opset: int, spellings: Mapping[str, Spelling]) -> Graph:
    if not any(node.op in spellings for node in graph.nodes):
        return graph
    draft = FileDraft(graph, opset, _shapes(graph))
    for node in graph.nodes:
        if node.op in spellings:
            spellings[node.op](node, draft)
        else:
            draft.nodes.append(node)
    return without_dead_code(replace(graph, nodes=tuple(draft.nodes), tensors=draft.tensors))


def _shapes(graph: Graph) -> dict[str, list[int | None]]:
    """The shape of every tensor as far as ONNX's rules tell it."""
    model = onnx.helper.make_model(
        _body(graph), opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10
    )
    found = shape_inference.infer_shapes(model, data_prop=True).graph
    types = {v.name: v.type.tensor_type for v in (*found.input, *found.value_info, *found.output)}
    shapes: dict[str, list[int | None]] = {
        name: [dim.dim_value if dim.HasField("dim_value") else None for dim in t.shape.dim]
        for name, t in types.items()
        if t.HasField("shape")
    }
    return shapes | {name: list(tensor.shape) for name, tensor in graph.tensors.items()}


def _with_file_ports(graph: Graph) -> Graph:
    """Cast where the file's ports are of 16 bits; the graph between them computes in 32."""
    halved = [p for p in (*graph.inputs, *graph.outputs) if p.file_dtype]
    if not halved:
        return graph
    taken = names_of(graph)
    names = {port.name: free_name(f"{port.name}_float32", taken) for port in halved}
    before = [_cast(p.name, names[p.name], TensorProto.FLOAT) for p in graph.inputs if p.file_dtype]
    after = [
        _cast(names[p.name], p.name, _HALVES[p.file_dtype]) for p in graph.outputs if p.file_dtype
    ]
    nodes = (*before, *(renamed(node, names) for node in graph.nodes), *after)
    return replace(graph, nodes=nodes)


def _cast(source: str, target: str, to: int) -> Node:
    return Node(
        op="Cast",
        name=f"{target}/cast",
        inputs=(source,),
        outputs=(target,),
        attributes={"to": int(to)},
    )


def _port(port: GraphPort) -> ValueInfoProto:
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    if port.file_dtype:
        dtype = _HALVES[port.file_dtype]
    return onnx.helper.make_tensor_value_info(port.name, dtype, list(port.shape))
