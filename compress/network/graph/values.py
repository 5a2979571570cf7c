"""The one representation of an imported network: a frozen graph in ONNX's operator vocabulary.

Every graph speaks one opset (``OPSET``), whatever its file was written in; float tensors are
float32, even where the file holds 16 bits. Nodes are in topological order: whoever reads a tensor
comes after whoever makes it. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

OPSET = 21
"""The operator set of every graph in memory."""

DType = Literal["float32", "float64", "int8", "uint8", "int32", "int64", "bool"]
Array: TypeAlias = NDArray[Any]
Attribute: TypeAlias = (
    int | float | str | Array | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
)
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shape of every tensor of a graph whose dynamic axes are bound to numbers."""


@dataclass(frozen=True, kw_only=True)
class GraphPort:
    """A tensor that goes in or comes out; a word in ``shape`` names an axis of any size.

    ``file_dtype`` is the type that the file says where the graph computes in another: a port of
    16 bits is float32 here, and 16 bits again in the file that is written.
    """

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    file_dtype: Literal["float16", "bfloat16"] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator. An empty name in ``inputs`` or ``outputs`` is one that is left out."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])

    @property
    def output(self) -> str:
        """The first tensor that it really makes: some nodes leave out their first output."""
        return next(name for name in self.outputs if name)

    def integer(self, name: str, default: int) -> int:
        """The attribute of that name, which is an integer."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int)
        return value

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The attribute of that name, which is a list of integers."""
        value = self.attributes.get(name, default)
        assert isinstance(value, tuple)
        return tuple(int(each) for each in value)

    def number(self, name: str, default: float) -> float:
        """The attribute of that name, which is a float."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str, default: str) -> str:
        """The attribute of that name, which is a word."""
        value = self.attributes.get(name, default)
        assert isinstance(value, str)
        return value


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A whole network. ``tensors`` are its constants, parameters among them, by name.

    ``metadata`` is that of the file, word for word, and is written back.
    """

    inputs: tuple[GraphPort, ...]
    outputs: tuple[GraphPort, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Array]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
