"""A graph under construction: what is added says its shape, and how its weights begin. Torch-free.

Shapes are known without ONNX's inference, so that whoever outlines a network needs neither. Weights
are zeros that take no memory until somebody fills them (``filled``).

Legend: N examples, D numbers of a word, I inputs, O outputs.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from compress.network.graph.values import Array, Attribute, Graph, GraphPort, Node, Shapes
from compress.network.signature import BATCH, INPUT, OUTPUT, ExampleShape

Shape: TypeAlias = tuple[int | str, ...]
"""Sizes of axes; that of the examples is a word."""
INT32, INT64, FLOAT = 6, 7, 1
"""Numbers of element types in ONNX (onnx.proto, TensorProto.DataType)."""
_FREE = np.float32(0)


@dataclass(frozen=True, kw_only=True)
class InitialValues:
    """How the values of a weight are drawn: ``size`` is a deviation, or the bound of a range."""

    kind: Literal["normal", "uniform", "constant"]
    size: float

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> Array:
        """Draw values of that shape."""
        match self.kind:
            case "normal":
                found = random.standard_normal(shape) * self.size
            case "uniform":
                found = random.uniform(-self.size, self.size, shape)
            case "constant":
                found = np.full(shape, self.size)
        return found.astype(np.float32)


def spread(inputs: int) -> InitialValues:
    """Return what torch gives to the weights and biases of a layer that reads so many inputs."""
    return InitialValues(kind="uniform", size=1 / math.sqrt(inputs))


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A finished graph, the shapes of its tensors, and how its weights begin."""

    graph: Graph
    shapes: Mapping[str, Shape]
    starts: Mapping[str, InitialValues]

    def bound(self, batch: int) -> Shapes:
        """Return the shapes for so many examples."""
        return {
            name: tuple(batch if isinstance(size, str) else size for size in shape)
            for name, shape in self.shapes.items()
        }

    def filled(self, seed: int) -> dict[str, Array]:
        """Draw the weights, each by its name and the seed; all other constants stay."""
        return {
            name: self.starts[name].draw(values.shape, _random(seed, name))
            if name in self.starts
            else np.array(values)
            for name, values in self.graph.tensors.items()
        }


def _random(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass
class Sketch:
    """Adds nodes one after the other; every method returns the name of what it adds."""

    input_shape: ExampleShape
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    tensors: dict[str, Array] = field(default_factory=dict[str, Array])
    starts: dict[str, InitialValues] = field(default_factory=dict[str, InitialValues])
    nodes: list[Node] = field(default_factory=list[Node])

    def __post_init__(self) -> None:
        self.shapes[INPUT] = (BATCH, *self.input_shape)

    def node(self, op: str, name: str, *inputs: str, shape: Shape, **attributes: Attribute) -> str:
        """Add a node whose one output has its name and this shape."""
        self.nodes.append(
            Node(op=op, name=name, inputs=inputs, outputs=(name,), attributes=attributes)
        )
        self.shapes[name] = shape
        return name

    def constant(self, name: str, values: object, dtype: DTypeLike = np.int64) -> str:
        """Add a constant that is never trained."""
        self.tensors[name] = np.asarray(values, dtype)
        self.shapes[name] = self.tensors[name].shape
        return name

    def weight(self, name: str, shape: tuple[int, ...], start: InitialValues) -> str:
        """Add a weight that begins in this way."""
        self.tensors[name] = np.broadcast_to(_FREE, shape)
        self.shapes[name], self.starts[name] = shape, start
        return name

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor."""
        return self.shapes[name]

    def width(self, name: str) -> int:
        """Return the size of a tensor's last axis."""
        size = self.shapes[name][-1]
        assert isinstance(size, int)
        return size

    def finished(self, answer: str) -> Drawing:
        """Return the graph that answers with this tensor, whose maker it renames."""
        last = self.nodes[-1]
        assert last.output == answer
        self.nodes[-1] = Node(
            op=last.op,
            name=last.name,
            inputs=last.inputs,
            outputs=(OUTPUT,),
            attributes=last.attributes,
        )
        self.shapes[OUTPUT] = self.shapes.pop(answer)
        graph = Graph(
            inputs=(GraphPort(name=INPUT, dtype="float32", shape=self.shapes[INPUT]),),
            outputs=(GraphPort(name=OUTPUT, dtype="float32", shape=self.shapes[OUTPUT]),),
            nodes=tuple(self.nodes),
            tensors=self.tensors,
        )
        return Drawing(graph=graph, shapes=self.shapes, starts=self.starts)

    # Arithmetic of equal shapes, or of one with another that is broadcast to it.

    def pointwise(self, op: str, name: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator on single values; the first input has the shape of the output."""
        return self.node(op, name, *inputs, shape=self.shapes[inputs[0]], **attributes)

    def cast(self, name: str, source: str, to: int) -> str:
        """Add a change of type."""
        return self.pointwise("Cast", name, source, to=to)

    def number(self, op: str, name: str, source: str, value: float, dtype: DTypeLike) -> str:
        """Add an operator on a tensor and one number."""
        return self.pointwise(op, name, source, self.constant(f"{name}.by", value, dtype))

    def transposed(self, name: str, source: str, *perm: int) -> str:
        """Add a transpose."""
        before = self.shapes[source]
        shape = tuple(before[axis] for axis in perm)
        return self.node("Transpose", name, source, shape=shape, perm=perm)

    def unsqueezed(self, name: str, source: str, *axes: int) -> str:
        """Add axes of size one; these count from the front of the result."""
        shape = list(self.shapes[source])
        for axis in axes:
            shape.insert(axis, 1)
        return self.node(
            "Unsqueeze", name, source, self.constant(f"{name}.axes", axes), shape=tuple(shape)
        )

    def reduced(self, op: str, name: str, source: str, axis: int, *, keep: bool = False) -> str:
        """Add a reduction along one axis."""
        shape = list(self.shapes[source])
        shape[axis : axis + 1] = [1] if keep else []
        axes = self.constant(f"{name}.axes", [axis])
        return self.node(op, name, source, axes, shape=tuple(shape), keepdims=int(keep))

    def picked(self, name: str, source: str, index: int, *, axis: int) -> str:
        """Add one slice along an axis, which is gone after it."""
        shape = self.shapes[source]
        place = self.constant(f"{name}.index", index)
        return self.node(
            "Gather", name, source, place, shape=(*shape[:axis], *shape[axis + 1 :]), axis=axis
        )

    def joined(self, name: str, parts: Sequence[str], *, axis: int) -> str:
        """Lay tensors side by side along an axis; a single one stays itself."""
        if len(parts) == 1:
            return parts[0]
        shape = list(self.shapes[parts[0]])
        sizes = [self.shapes[part][axis] for part in parts]
        shape[axis] = sum(size for size in sizes if isinstance(size, int))
        return self.node("Concat", name, *parts, shape=tuple(shape), axis=axis)

    # Layers.

    def table(self, name: str, rows: int, width: int, ids: str, *, start: InitialValues) -> str:
        """Add a table; the numbers of every id follow along a new last axis."""
        weight = self.weight(f"{name}.weight", (rows, width), start)
        return self.node("Gather", name, weight, ids, shape=(*self.shapes[ids], width), axis=0)

    def linear(self, name: str, source: str, outputs: int) -> str:
        """Add a linear layer along the last axis."""
        inputs = self.width(source)
        bias = self.weight(f"{name}.bias", (outputs,), spread(inputs))
        shape = (*self.shapes[source][:-1], outputs)
        if len(shape) == 2:
            weight = self.weight(f"{name}.weight", (outputs, inputs), spread(inputs))
            return self.node("Gemm", name, source, weight, bias, shape=shape, transB=1)
        weight = self.weight(f"{name}.weight", (inputs, outputs), spread(inputs))
        product = self.node("MatMul", f"{name}.product", source, weight, shape=shape)
        return self.node("Add", f"{name}_bias", product, bias, shape=shape)

    def convolution(
        self, name: str, source: str, outputs: int, kernel: int, *, stride: int = 1
    ) -> str:
        """Add a convolution of ``(N, C, L)``; the map stays as long, divided by the stride."""
        batch, inputs, length = self.shapes[source]
        assert isinstance(inputs, int)
        assert isinstance(length, int)
        start = spread(inputs * kernel)
        before = (kernel - 1) // 2
        return self.node(
            "Conv",
            name,
            source,
            self.weight(f"{name}.weight", (outputs, inputs, kernel), start),
            self.weight(f"{name}.bias", (outputs,), start),
            shape=(batch, outputs, -(-length // stride)),
            kernel_shape=(kernel,),
            pads=(before, kernel - 1 - before),
            strides=(stride,),
            dilations=(1,),
            group=1,
        )

    def norm(self, op: str, name: str, source: str, channels: int, **attributes: Attribute) -> str:
        """Add a LayerNorm along the last axis, or a BatchNorm of channels with its statistics."""
        ones, zeros = (InitialValues(kind="constant", size=size) for size in (1.0, 0.0))
        held = [self.weight(f"{name}.weight", (channels,), ones)]
        held.append(self.weight(f"{name}.bias", (channels,), zeros))
        if op == "BatchNormalization":
            held.append(self.weight(f"{name}.mean", (channels,), zeros))
            held.append(self.weight(f"{name}.variance", (channels,), ones))
        return self.pointwise(op, name, source, *held, epsilon=1e-5, **attributes)
