"""Label a file with the oldest opset and format in which it means what it says.

Graphs are written in opset 21, the first with all types that stored weights may need. A file that
uses nothing of what came after opset 13 says 13, so that old versions of ONNX Runtime load it.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from compress.network.graph.reading.conversion import nodes_of
from compress.network.graph.values import OPSET, Graph, Node
from compress.network.graph.writing.draft import FileDraft
from compress.network.graph.writing.spellings import OPSET_13
from compress.values.errors import InvalidNetwork

OLDEST = 13
_NEWER_TYPES = frozenset({TensorProto.INT4, TensorProto.UINT4})
# Functions of a model are part of the format from here on.
_WITH_FUNCTIONS = 8


def lower(model: ModelProto) -> None:
    """Label a model of opset 21, in place, with the oldest one that has all of its nodes.

    A model that holds integers of 4 bits stays in opset 21.
    """
    if any(tensor.data_type in _NEWER_TYPES for tensor in model.graph.initializer):
        return
    standard = max(map(of_node, nodes_of(_nodes(model))), default=OLDEST)
    for holder in (model, *model.functions):
        for entry in holder.opset_import:
            entry.version = entry.version if entry.domain else standard
    found = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = max(found, _WITH_FUNCTIONS if model.functions else 0)


def of_node(node: Node) -> int:
    """Return the oldest opset, from 13 on, in which a node of opset 21 says the same as it stands.

    For a node that is said otherwise in 13 it is the one that defined the operator last.
    """
    latest = onnx.defs.get_schema(node.op, OPSET, "").since_version
    if latest <= OLDEST or not onnx.defs.has(node.op, OLDEST, ""):
        return max(latest, OLDEST)
    if node.op not in OPSET_13:
        return OLDEST
    alone = Graph(inputs=(), outputs=(), nodes=(node,), tensors={})
    draft = FileDraft(alone, OLDEST, {})
    try:
        OPSET_13[node.op](node, draft)
    except InvalidNetwork:
        return latest
    return OLDEST if draft.nodes == [node] else latest


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Return all nodes of ONNX's own operators."""
    for holder in (model.graph, *model.functions):
        yield from (node for node in holder.node if not node.domain)
