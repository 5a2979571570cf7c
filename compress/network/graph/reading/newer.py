"""Operators that are newer than the graph's opset, by ONNX's own definition of them. Torch-free."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import ModelProto, inliner

from compress.network.graph.reading.checks import opset_of
from compress.network.graph.reading.foreign import blamed
from compress.network.graph.values import OPSET


def composed(model: ModelProto) -> ModelProto:
    """Replace each newer operator (Attention, RMSNormalization) by the function that defines it."""
    opset = opset_of(model)
    newer = {node.op_type for node in model.graph.node if _is_defined(node.op_type, opset)}
    if not newer:
        return model
    names = [("", op) for op in sorted(newer)]
    with blamed(f"{', '.join(sorted(newer))} cannot be composed of operators of opset {OPSET}"):
        return inliner.inline_selected_functions(model, names, inline_schema_functions=True)


def _is_defined(op: str, opset: int) -> bool:
    if onnx.defs.has(op, OPSET, "") or not onnx.defs.has(op, opset, ""):
        return False
    schema: Any = onnx.defs.get_schema(op, opset, "")
    return schema.has_function or schema.has_context_dependent_function
