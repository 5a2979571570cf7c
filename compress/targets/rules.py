"""What a target allows, checked on the graph of a file and not by trust. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from onnx import ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper, shape_inference

from compress.targets.target import Target
from compress.values.errors import TargetRuleBroken

_INTEGER_LAYERS = frozenset({"Conv", "Gemm"})
_BIAS = 2
_OF_INTEGERS = frozenset(
    {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)
_UNSIGNED = frozenset(
    {TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
)
_WIDE = frozenset({TensorProto.INT64, TensorProto.UINT64, TensorProto.DOUBLE})
_SIZED = frozenset({"Reshape", "Slice", "Split"})
_NAMES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}


def check(model: ModelProto, target: Target) -> None:
    """Raise TargetRuleBroken naming the first node or tensor, and the rule, that do not agree."""
    for broken in _broken(_File(model), target):
        raise TargetRuleBroken(f"target {target.name}: {broken}")


@dataclass(frozen=True)
class _File:
    """A model with what its rules ask."""

    model: ModelProto

    @cached_property
    def tensors(self) -> dict[str, TensorProto]:
        """The initializers by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def makers(self) -> dict[str, NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.model.graph.node for name in node.output}

    @cached_property
    def early(self) -> list[NodeProto]:
        """The nodes that constants alone decide."""
        known = {"", *self.tensors}
        found: list[NodeProto] = []
        for node in self.model.graph.node:
            if known.issuperset(node.input):
                known.update(node.output)
                found.append(node)
        return found

    @cached_property
    def told(self) -> dict[str, TypeProto.Tensor]:
        """What ONNX's rules tell of the tensors that nodes make."""
        graph = shape_inference.infer_shapes(self.model).graph
        return {value.name: value.type.tensor_type for value in graph.value_info}

    @cached_property
    def types(self) -> dict[str, int]:
        """The element type of every tensor, as far as ONNX's rules tell it."""
        told = {name: each.elem_type for name, each in self.told.items()}
        return told | {name: tensor.data_type for name, tensor in self.tensors.items()}

    def is_flat(self, name: str) -> bool:
        """Whether a tensor surely has one axis."""
        if name in self.tensors:
            return len(self.tensors[name].dims) == 1
        return name in self.told and len(self.told[name].shape.dim) == 1

    def is_dequantized(self, name: str) -> bool:
        """Whether a DequantizeLinear makes this tensor."""
        maker = self.makers.get(name)
        return maker is not None and maker.op_type == "DequantizeLinear"


def _broken(file: _File, target: Target) -> Iterator[str]:
    yield from _labels(file.model, target)
    yield from _types(file, target)
    yield from _constant_nodes(file, target)
    yield from _divisions(file)
    if target.integer_bias == "int32":
        yield from _float_biases(file)
    if target.symmetric_activations:
        yield from _asymmetric(file)


def _labels(model: ModelProto, target: Target) -> Iterator[str]:
    for entry in model.opset_import:
        if not entry.domain and entry.version > target.opset:
            yield f"the file says opset {entry.version}, at most {target.opset} is allowed"
    if model.ir_version > target.ir_version:
        yield f"the file says IR version {model.ir_version}, at most {target.ir_version} is allowed"
    if model.functions and not target.functions:
        yield f"the file has a function, {model.functions[0].name!r}, and none is allowed"
    for node in model.graph.node:
        if node.domain and not model.functions:
            yield f"{_shown(node)} is no operator of ONNX"


def _types(file: _File, target: Target) -> Iterator[str]:
    for tensor in file.tensors.values():
        name = _type(tensor.data_type)
        if target.element_types is not None and name not in target.element_types:
            known = ", ".join(target.element_types)
            yield f"tensor {tensor.name[:80]!r} is of type {name}; allowed are {known}"


def _constant_nodes(file: _File, target: Target) -> Iterator[str]:
    if target.constant_operators is None:
        return
    for node in file.early:
        if node.op_type not in target.constant_operators:
            allowed = ", ".join(target.constant_operators)
            yield f"{_shown(node)} reads nothing but constants; only {allowed} may"
        if node.op_type in target.float_operators:
            yield from _computed_otherwise(file, node)
        if target.splits_say_axis and node.op_type == "Split":
            yield from _unsaid(file, node)
        if not target.wide_constants:
            yield from _wide(file, node)


def _computed_otherwise(file: _File, node: NodeProto) -> Iterator[str]:
    """Runtimes disagree about quotients and sums of integers."""
    found = file.types.get(node.input[0])
    if found != TensorProto.FLOAT:
        shown = "an unknown type" if found is None else _type(found)
        yield f"{_shown(node)} computes with constants in {shown}; only float32 is allowed"


def _unsaid(file: _File, node: NodeProto) -> Iterator[str]:
    """OpenCV splits the second axis where none is said."""
    says = any(attribute.name == "axis" for attribute in node.attribute)
    if not says and not file.is_flat(node.input[0]):
        yield f"{_shown(node)} does not say which axis of several it splits"


def _wide(file: _File, node: NodeProto) -> Iterator[str]:
    """OpenVINO narrows 64 bits to 32, without a word."""
    for place, name in enumerate(node.input):
        if (place == 0 or node.op_type not in _SIZED) and file.types.get(name) in _WIDE:
            yield f"{_shown(node)} reads constants of 64 bits, {name[:80]!r}; use int32 or float32"


def _divisions(file: _File) -> Iterator[str]:
    """OpenVINO rounds the quotient of bytes, without a word."""
    for node in file.model.graph.node:
        tensor = file.tensors.get(node.input[0]) if node.op_type in {"Div", "Mod"} else None
        if tensor is not None and tensor.data_type in _UNSIGNED:
            yield f"{_shown(node)} divides {_type(tensor.data_type)}; divide int32"


def _float_biases(file: _File) -> Iterator[str]:
    """Old versions of ONNX Runtime compute in float where the bias of integers is one."""
    for node in integer_layers(file.model):
        bias = node.input[_BIAS] if len(node.input) > _BIAS else ""
        if bias and not file.is_dequantized(bias):
            yield f"{_shown(node)} adds a float bias to integers; its bias must be int32"


def _asymmetric(file: _File) -> Iterator[str]:
    """TensorRT reads no grid of unsigned bytes, no zero point and no bias of integers."""
    for node in file.model.graph.node:
        if node.op_type in _OF_INTEGERS:
            yield f"{_shown(node)} computes with integers outside of grids"
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
            continue
        zero = file.tensors.get(node.input[2]) if len(node.input) > 2 else None
        held = file.tensors.get(node.input[0])
        if held is not None and held.data_type == TensorProto.INT32:
            yield f"{_shown(node)} decodes a bias of integers; it must be float32"
        elif zero is None and (held is None or held.data_type != TensorProto.INT8):
            yield f"{_shown(node)} says no zero point, so its grid is of unsigned bytes"
        elif zero is not None and (
            zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any()
        ):
            yield f"{_shown(node)} has a grid with a zero point; it must be int8 around 0"


def integer_layers(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the nodes that multiply integers by integers: both come out of DequantizeLinear."""
    file = _File(model)
    for node in model.graph.node:
        if node.op_type in _INTEGER_LAYERS and all(map(file.is_dequantized, node.input[:_BIAS])):
            yield node


def _type(number: int) -> str:
    known = TensorProto.DataType.values()
    return (
        _NAMES.get(number)
        or (TensorProto.DataType.Name(number) if number in known else str(number)).lower()
    )


def _shown(node: NodeProto) -> str:
    name = node.name or next(iter(node.output), "")
    return f"{node.op_type[:80]} (node {name[:80]!r})"
