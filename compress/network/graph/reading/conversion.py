"""From a file of any opset to a graph of one. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, cast

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    ValueInfoProto,
)
from onnx.numpy_helper import to_array
from onnx.version_converter import convert_version

from compress.network.graph.reading.checks import opset_of, shown
from compress.network.graph.reading.foreign import blamed
from compress.network.graph.values import (
    OPSET,
    Array,
    Attribute,
    DType,
    Graph,
    GraphPort,
    Node,
)
from compress.values.errors import InvalidNetwork

_IR_VERSION = 10
_SMALL = 1024
"""Elements up to which a constant may matter to the converter: axes, sizes, scales."""
_DTYPES: Mapping[int, DType] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float32",
    TensorProto.BFLOAT16: "float32",
}
_HALVES: Mapping[int, Literal["float16", "bfloat16"]] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
}


def convert(model: ModelProto) -> ModelProto:
    """Bring a model to the one opset; large weights stay behind and are not copied.

    Operators of later opsets mean the same in this one, or are unknown to it and refused later.
    Raises InvalidNetwork if an operator has no form in this opset.
    """
    model.ir_version = _IR_VERSION
    if opset_of(model) >= OPSET:
        del model.opset_import[:]
        model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
        return model
    kept = [t for t in model.graph.initializer if _elements(t) > _SMALL]
    names = {tensor.name for tensor in kept}
    rest = [t for t in model.graph.initializer if t.name not in names]
    _replace(model.graph.initializer, rest)
    ports = len(model.graph.input)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in kept
    )
    with blamed(f"opset {opset_of(model)} does not convert to {OPSET}"):
        done = convert_version(model, OPSET)
    del done.graph.input[ports:]
    done.graph.initializer.extend(kept)
    return done


def _elements(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _replace(field: object, values: Iterable[TensorProto]) -> None:
    repeated = cast("list[TensorProto]", field)
    values = list(values)
    del repeated[:]
    repeated.extend(values)


def ports(values: Iterable[ValueInfoProto], *, named: bool) -> tuple[GraphPort, ...]:
    """What a file says of its inputs or outputs. Raises InvalidNetwork if they are no tensors.

    An axis that it does not name gets a name of its own if ``named``; else its name is empty.
    """
    return tuple(_port(port, named=named) for port in values)


def to_graph(
    model: ModelProto, outputs: tuple[GraphPort, ...], metadata: Mapping[str, str]
) -> Graph:
    """Make the frozen value of a model whose functions and constants are gone.

    Raises InvalidNetwork for types that no graph holds.
    """
    return Graph(
        inputs=ports(model.graph.input, named=True),
        outputs=outputs,
        nodes=tuple(nodes_of(model.graph.node)),
        tensors={t.name: _array(t, f"tensor {t.name[:80]!r}") for t in model.graph.initializer},
        metadata=dict(metadata),
    )


def _port(port: ValueInfoProto, *, named: bool) -> GraphPort:
    tensor = port.type.tensor_type
    if port.type.WhichOneof("value") != "tensor_type":
        raise InvalidNetwork(f"{port.name[:80]!r} is no tensor: export tensors only")
    return GraphPort(
        name=port.name,
        dtype=_dtype(tensor.elem_type, f"{port.name[:80]!r}"),
        shape=tuple(
            _axis(dim, f"{port.name}_{axis}" if named else "")
            for axis, dim in enumerate(tensor.shape.dim)
        ),
        file_dtype=_HALVES.get(tensor.elem_type),
    )


def _axis(dim: TensorShapeProto.Dimension, name: str) -> int | str:
    """The size of an axis, or its word; some files write -1 or '?' for any size."""
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return dim.dim_value
    return name if dim.dim_param in {"", "?"} else dim.dim_param


def _dtype(number: int, what: str) -> DType:
    if number not in _DTYPES:
        known = ", ".join(sorted(set(_DTYPES.values())))
        name = (
            TensorProto.DataType.Name(number)
            if number in TensorProto.DataType.values()
            else str(number)
        )
        raise InvalidNetwork(f"{what} is of type {name}; expected one of {known}")
    return _DTYPES[number]


def _array(tensor: TensorProto, what: str) -> Array:
    """The values; floats of 16 bits as float32. Keeps 0 axes, as np.ascontiguousarray would not."""
    dtype = _dtype(tensor.data_type, what)
    array = np.asarray(to_array(tensor), dtype=dtype, order="C")
    array.setflags(write=False)
    return array


def nodes_of(nodes: Iterable[NodeProto]) -> Iterator[Node]:
    """Every node with a name of its own."""
    taken: set[str] = set()
    for number, node in enumerate(nodes):
        name = node.name or next((o for o in node.output if o), "") or f"{node.op_type}_{number}"
        while name in taken:
            name = f"{name}_{number}"
        taken.add(name)
        yield Node(
            op=node.op_type,
            name=name,
            inputs=_trimmed(node.input),
            outputs=_trimmed(node.output),
            attributes={a.name: _attribute(a, node) for a in node.attribute},
        )


def _trimmed(names: Iterable[str]) -> tuple[str, ...]:
    """The names without the empty ones at the end, which say nothing."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _attribute(attribute: AttributeProto, node: NodeProto) -> Attribute:
    value = onnx.helper.get_attribute_value(attribute)
    match attribute.type:
        case AttributeProto.INT | AttributeProto.FLOAT:
            return value
        case AttributeProto.STRING:
            return _text(value, node)
        case AttributeProto.INTS | AttributeProto.FLOATS:
            return tuple(value)
        case AttributeProto.STRINGS:
            return tuple(_text(each, node) for each in value)
        case AttributeProto.TENSOR:
            return _array(value, f"attribute {attribute.name[:80]!r} of {shown(node)}")
    raise InvalidNetwork(
        f"{shown(node)} is still control flow after constants are folded "
        f"(attribute {attribute.name[:80]!r}): export with the branch taken"
    )


def _text(value: bytes, node: NodeProto) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidNetwork(f"{shown(node)} has an attribute that is not UTF-8") from error
