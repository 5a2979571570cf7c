"""Constants that follow from constants, each looked at before it is computed. Torch-free.

Only named passes run: BatchNormalization stays what it is, and equal tensors stay apart. Shapes
that a file claims for its inner tensors are not believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import ModelProto, shape_inference
from onnx_ir.passes import common
from onnxscript import ir
from onnxscript.optimizer import fold_constants

from compress.network.graph.reading.foreign import blamed
from compress.network.graph.reading.limits import FileLimits
from compress.network.graph.shapes import ERRORS
from compress.values.errors import InvalidNetwork

_BRANCHING = frozenset({"If", "Loop", "Scan"})
_NEVER = frozenset({"QuantizeLinear", "DequantizeLinear"}) | _BRANCHING
"""Whose constants another step looks at, or which are not folded by computing."""
_SLOW = frozenset({"Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
"""What takes much more work than its output is long."""
_SLOW_ELEMENTS = 2**18


def fold(model: ModelProto, limits: FileLimits) -> ModelProto:
    """Inline functions, compute what is constant, and leave out what nothing reads.

    Raises InvalidNetwork if a constant would have more than ``limits.elements`` elements.
    """
    with blamed(_undertaking(model)):
        return _folded(model, limits)


def _undertaking(model: ModelProto) -> str:
    """What fails if folding does: a branch, if there is one, else the file as a whole."""
    branching = next((node for node in model.graph.node if node.op_type in _BRANCHING), None)
    if branching is None:
        return "the file's operators do not fit together"
    return (
        f"{branching.op_type} (node {branching.name[:80]!r}) cannot be replaced by the branch that "
        "is taken, export the network with that branch alone"
    )


def _folded(model: ModelProto, limits: FileLimits) -> ModelProto:
    held = ir.serde.deserialize_model(_without_claims(model))
    common.InlinePass()(held)
    common.RemoveInitializersFromInputsPass()(held)
    _lift(held)
    common.IdentityEliminationPass()(held)
    common.TopologicalSortPass()(held)
    allowance = _Allowance(opset=held.opset_imports[""], limits=limits)
    fold_constants(
        held,
        onnx_shape_inference=True,
        input_size_limit=limits.elements,
        output_size_limit=limits.elements,
        should_fold=allowance.covers,
    )
    _lift(held)
    common.RemoveUnusedNodesPass()(held)
    return ir.serde.serialize_model(held)


def _lift(held: ir.Model) -> None:
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(held)


def _without_claims(model: ModelProto) -> ModelProto:
    """A copy without the shapes that the file claims for inner tensors and outputs."""
    bare = ModelProto()
    bare.CopyFrom(model)
    bare.graph.ClearField("value_info")
    for port in bare.graph.output:
        port.type.tensor_type.ClearField("shape")
    return bare


@dataclass(kw_only=True)
class _Allowance:
    """What may still be computed: single tensors, and all of them together, are bounded."""

    opset: int
    limits: FileLimits
    used: int = 0

    def covers(self, node: ir.Node) -> bool:
        """Whether to compute this node, all of whose inputs are constants."""
        if node.op_type in _NEVER or node.domain not in {"", "ai.onnx"}:
            return False
        sizes = tuple(_output_sizes(node, self.opset))
        if not sizes or (node.op_type in _SLOW and _input_size(node) > _SLOW_ELEMENTS):
            return False
        self.used += sum(sizes)
        if max(sizes) > self.limits.elements or self.used > 8 * self.limits.elements:
            raise InvalidNetwork(
                f"{node.op_type} (node {(node.name or '')[:80]!r}) makes a constant of "
                f"{max(sizes)} elements; at most {self.limits.elements} are computed, "
                f"{8 * self.limits.elements} in all: store it as a weight"
            )
        return True


def _input_size(node: ir.Node) -> int:
    return sum(v.const_value.size for v in node.inputs if v is not None and v.const_value)


def _output_sizes(node: ir.Node, opset: int) -> Iterator[int]:
    """The elements of every output, as ONNX's own rules infer them; nothing if they cannot."""
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    constants = {
        v.name: v.const_value for v in node.inputs if v is not None and v.const_value and v.name
    }
    types = {
        name: onnx.helper.make_tensor_type_proto(int(tensor.dtype), list(tensor.shape.numpy()))
        for name, tensor in constants.items()
    }
    values = {
        name: ir.serde.serialize_tensor(tensor)
        for name, tensor in constants.items()
        if tensor.size <= 64
    }
    try:
        found = shape_inference.infer_node_outputs(
            schema, ir.serde.serialize_node(node), types, values
        )
    except ERRORS:
        return
    for output in node.outputs:
        tensor = found[output.name].tensor_type if output.name in found else None
        if tensor is None or not tensor.HasField("shape"):
            return
        if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            return
        yield math.prod(dim.dim_value for dim in tensor.shape.dim)
