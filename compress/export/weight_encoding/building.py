"""Build a piece of an ONNX graph that decodes weights, and count what it adds to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, NodeProto, TensorProto, helper, numpy_helper

# What the repeated field of a graph or a name of two letters costs around its content.
_FRAME = 3
_NAME = 2


@dataclass(kw_only=True)
class Building:
    """Nodes, constants and bits under construction.

    ``bits`` are the planes of all codes of a file, by the name of the tensor that will hold them:
    they are unpacked together. ``temporaries`` counts the bytes of everything ONNX Runtime
    computes once while it loads the file: it keeps all of it until every constant is folded.
    """

    prefix: str
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: dict[str, TensorProto] = field(default_factory=dict)
    functions: dict[str, FunctionProto] = field(default_factory=dict)
    bits: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    temporaries: float = 0.0
    _numbers: Iterator[int] = field(default_factory=count)

    def new_name(self) -> str:
        """Return an unused name."""
        return f"{self.prefix}{next(self._numbers)}"

    def scratch(self) -> Building:
        """Return a piece that may be included later."""
        return Building(prefix=f"{self.new_name()}.")

    def add(
        self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: int | str
    ) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_many(kind, inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        outputs: int,
        domain: str = "",
        **attributes: int | str,
    ) -> list[str]:
        """Add a node with several outputs, and return their names."""
        names = [self.new_name() for _ in range(outputs)]
        node = helper.make_node(kind, inputs, names, domain=domain)
        node.attribute.extend(helper.make_attribute(key, v) for key, v in attributes.items())
        self.nodes.append(node)
        return names

    def constant(self, value: NDArray[np.generic], *, kind: int | None = None) -> str:
        """Add an initializer; ``kind`` is its ONNX type if numpy has none (INT4)."""
        name = self.new_name()
        if kind is not None:
            value = value.astype(helper.tensor_dtype_to_np_dtype(kind))
        self.tensors[name] = shortest_form(numpy_helper.from_array(value, name))
        return name

    def plane(self, bits_N: NDArray[np.generic]) -> str:
        """Add a tensor of bits, stored with all others of the file; see ``Spelling.plane``."""
        name = self.new_name()
        self.bits[name] = bits_N.ravel().astype(np.uint8)
        return name

    def split(
        self, name: str, sizes: Sequence[int], *, total: int, says_axis: bool = False
    ) -> list[str]:
        """Split the first axis, ``total`` long, into pieces of ``sizes``; the rest is dropped.

        It is the axis of a Split that says none, for whoever reads ONNX as it is written.
        """
        if list(sizes) == [total]:
            return [name]
        rest = [total - sum(sizes)] if sum(sizes) < total else []
        parts = self.constant(np.asarray([*sizes, *rest], np.int64))
        names = self.add_many("Split", [name, parts], outputs=len(sizes) + len(rest))
        if says_axis:
            self.nodes[-1].attribute.append(helper.make_attribute("axis", 0))
        return names[: len(sizes)]

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Reshape a tensor."""
        return self.add("Reshape", [name, self.constant(np.asarray(shape, np.int64))])

    def include(self, other: Building) -> None:
        """Take over everything from a piece that was made on its own."""
        self.nodes.extend(other.nodes)
        self.tensors.update(other.tensors)
        self.functions.update(other.functions)
        self.bits.update(other.bits)
        self.temporaries += other.temporaries

    @property
    def size_bytes(self) -> int:
        """Return the bytes in the file with short names, without functions and unpacking."""
        nodes = sum(_node_bytes(node) for node in self.nodes)
        tensors = sum(_tensor_bytes(tensor) for tensor in self.tensors.values())
        bits = sum(len(plane) for plane in self.bits.values())
        return nodes + tensors + -(-bits // 8) + (_NAME + _FRAME) * len(self.bits)


def shortest_form(tensor: TensorProto) -> TensorProto:
    """Return the same tensor; small int32 and int64 values take fewer bytes as varints."""
    if tensor.data_type not in {TensorProto.INT64, TensorProto.INT32}:
        return tensor
    values = numpy_helper.to_array(tensor)
    short = TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
    is_wide = tensor.data_type == TensorProto.INT64
    (short.int64_data if is_wide else short.int32_data).extend(values.ravel().tolist())
    return short if short.ByteSize() < tensor.ByteSize() else tensor


def _node_bytes(node: NodeProto) -> int:
    names = [*node.input, *node.output]
    return node.ByteSize() - sum(len(name) - _NAME for name in names if name) + _FRAME


def _tensor_bytes(tensor: TensorProto) -> int:
    return tensor.ByteSize() - (len(tensor.name) - _NAME) + _FRAME
