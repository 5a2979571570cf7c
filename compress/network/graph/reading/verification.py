"""What a finished graph must be: operators that are known, weights to compress. Torch-free."""

from __future__ import annotations

import numpy as np
import onnx

from compress.network.graph.reading.sequences import SPLITS
from compress.network.graph.roles import OPERATORS, roles
from compress.network.graph.values import OPSET, Graph, Node
from compress.values.errors import InvalidNetwork


def check_operators(graph: Graph) -> None:
    """Raise InvalidNetwork for an operator that is not understood, or that ONNX does not have."""
    for node in graph.nodes:
        if node.op in {"If", "Loop", "Scan"}:
            raise InvalidNetwork(
                f"{_shown(node)} is still control flow after constants are folded: export with the "
                "branch taken"
            )
        if node.op in SPLITS:
            continue
        if node.op not in OPERATORS:
            raise InvalidNetwork(
                f"{_shown(node)} is not supported: compose it of other operators, or export it "
                "with an older opset, which does"
            )
        schema = onnx.defs.get_schema(node.op, OPSET, "")
        unknown = sorted(set(node.attributes) - set(schema.attributes))
        if unknown:
            raise InvalidNetwork(
                f"{_shown(node)} has the attribute {unknown[0][:80]!r}, which opset {OPSET} does "
                f"not know: export it with opset {OPSET} or an older one"
            )
        if not schema.min_input <= len(node.inputs) <= schema.max_input:
            raise InvalidNetwork(
                f"{_shown(node)} has {len(node.inputs)} inputs; expected {schema.min_input} to "
                f"{schema.max_input}: the file is damaged"
            )


def check_weights(graph: Graph) -> None:
    """Raise InvalidNetwork if there is nothing to compress, or a weight is no finite number."""
    trained = {
        name
        for node in graph.nodes
        for name, role in zip(node.inputs, roles(node), strict=True)
        if role.kind in {"weight", "table"} and name in graph.tensors
    }
    if not any(graph.tensors[name].dtype.kind == "f" for name in trained):
        raise InvalidNetwork(
            "the network has no weights: export it with its parameters inside, as initializers"
        )
    _check_finite(graph)


def _check_finite(graph: Graph) -> None:
    """Raise InvalidNetwork for NaN anywhere, and for infinite values but in bounds and masks."""
    masks = {
        name
        for node in graph.nodes
        for name, role in zip(node.inputs, roles(node), strict=True)
        if role.kind == "bound" or (role.kind == "data" and node.op in _MASKING)
    }
    for name, tensor in graph.tensors.items():
        if tensor.dtype.kind != "f" or np.isfinite(tensor).all():
            continue
        if name in masks and not np.isnan(tensor).any():
            continue
        count = int(tensor.size - np.count_nonzero(np.isfinite(tensor)))
        raise InvalidNetwork(
            f"tensor {name[:80]!r} holds {count} values that are not finite: train the network "
            "again or export another checkpoint"
        )


_MASKING = frozenset({"Add", "Concat", "Expand", "Max", "Min", "Mul", "Where"})


def _shown(node: Node) -> str:
    return f"{node.op[:80]} (node {node.name[:80]!r})"
