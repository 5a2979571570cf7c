"""Where a float ONNX graph gets its quantized tensors: one rule per kind of node.

A tensor lies on a grid when a computing node reads it or a producing one, such as an integer Conv,
made it: only then can ONNX Runtime fuse the node with its neighbours. A Relu, or a Clip from zero
on, is absorbed by the grid of its output, which starts at zero and ends at what was seen. A
weighted node that gives the graph's output, the classifier, computes in float, also where a softmax
follows it: the logits would need a grid of their own, and with one they tie.

Only tensors of float32 have a grid. A network that reads its own sizes, takes an argmax or masks
values has Concat, Mul and Slice nodes on int64, bool or double; those stay as they are.

Scores from which a mask takes a huge number, before a softmax, stay float: on a grid that reaches
down to it nothing is left of the others.

ONNX Runtime has no integer kernel for HardSwish and HardSigmoid. They run in float between two
grids, where the file says so (``in_float``). Through a table of 256 entries and an integer product
a HardSwish would take a fifth less time, a network a few hundredths, and the table would be wrong
by up to 0.4 %.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from compress.export import onnx_shapes

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
# Whatever they put out, they put out in integers; an integer Gemm may also put out floats.
_PRODUCING = frozenset({"Conv", "MatMul", "Add", "Mul", "Sigmoid", "Concat"})
_COMPUTING = _PRODUCING | {"Gemm", "AveragePool", "GlobalAveragePool", "ReduceMean"}
# With a constant they scale and shift: normalisation.
_OF_TWO = frozenset({"Add", "Mul"})
# These only move values about, so their output lies on the grid of their input.
_MOVING = frozenset(
    {"MaxPool", "Flatten", "Reshape", "Slice", "Split", "Transpose", "Squeeze", "Pad"}
)
# Behind the classifier, these leave its logits what they are: logits.
_ANSWERING = frozenset({"Softmax", "LogSoftmax", "Flatten", "Reshape", "Squeeze"})
# They read how large a tensor is or shall be, not what it holds.
_MEASURING = frozenset({"Shape", "Size", "ConstantOfShape"})
_HIDING = 1e4
"""Constants as large make a mask: what they are added to is as good as gone."""
_CARRYING = _MOVING.union(
    {"Add", "Cast", "Concat", "Expand", "Identity", "Mul", "Sub", "Unsqueeze", "Where"}
)
_FLOATING = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)


@dataclass(frozen=True)
class Placement:
    """The graph read once. ``outputs``, logits too, stay float, as does whatever no rule names."""

    constants: frozenset[str]
    zeros: frozenset[str]
    producer: dict[str, NodeProto]
    readers: dict[str, list[NodeProto]]
    outputs: frozenset[str]
    integer: frozenset[str]
    types: Mapping[str, int]
    masked: frozenset[str]

    @classmethod
    def of(cls, model: ModelProto, *, integer: frozenset[str]) -> Placement:
        """Read a graph whose constants are initializers.

        ``integer`` names the tensors computed by nodes whose weights will be integers; without
        any, the whole graph stays float.
        """
        readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                readers[name].append(node)
        return cls(
            constants=frozenset(tensor.name for tensor in model.graph.initializer),
            zeros=frozenset(tensor.name for tensor in model.graph.initializer if _is_zero(tensor)),
            producer={name: node for node in model.graph.node for name in node.output},
            readers=dict(readers),
            outputs=_logits(model),
            integer=integer,
            types=onnx_shapes.element_types(model) if integer else {},
            masked=_masked(model) if integer else frozenset(),
        )

    def on_grid(self, name: str) -> bool:
        """Whether this activation is quantized; an optional input that is left out is not."""
        is_float = not name or name in self.constants or name in self.outputs
        return not is_float and not self._feeds_absorbed_relu(name) and self._wants_grid(name)

    def absorbed(self, node: NodeProto) -> bool:
        """Whether the node is a Relu, or a Clip like one, that the grid of its output replaces."""
        if not self._rectifies(node) or node.output[0] in self.outputs:
            return False
        return len(self.readers[node.input[0]]) == 1 and self._wants_grid(node.output[0])

    def in_integers(self, node: NodeProto) -> bool:
        """Whether this node multiplies integers, and does not just store them."""
        return node.output[0] in self.integer and node.output[0] not in self.outputs

    def moves_integers(self, node: NodeProto) -> bool:
        """Whether the node moves the integers of a grid themselves, as it would any values."""
        if node.op_type not in _MOVING or node.op_type == "Pad":
            return False
        return all(map(self.on_grid, (node.input[0], *node.output)))

    def grid_of(self, name: str) -> str:
        """Return the tensor whose range sets the grid of this one."""
        node = self.producer.get(name)
        if node is not None and node.op_type in _MOVING and self.on_grid(node.input[0]):
            return self.grid_of(node.input[0])
        return name

    def _wants_grid(self, name: str) -> bool:
        if not self.integer or not self._is_float32(name) or name in self.masked:
            return False
        if any(self._reads_integers(node) for node in self.readers.get(name, ())):
            return True
        node = self.producer.get(name)
        if node is not None and self._rectifies(node):
            node = self.producer.get(node.input[0])
        return node is not None and self._fuses(node, _PRODUCING)

    def _reads_integers(self, node: NodeProto) -> bool:
        """Whether the node computes in integers, or moves them to one that does."""
        if node.op_type in _MOVING:
            return any(self.on_grid(name) for name in node.output)
        return self._fuses(node, _COMPUTING)

    def _feeds_absorbed_relu(self, name: str) -> bool:
        return any(self.absorbed(node) for node in self.readers.get(name, ()))

    def _fuses(self, node: NodeProto, kinds: frozenset[str]) -> bool:
        """Whether the node works on integers; normalisation, an Add of a constant, does not.

        Nor does arithmetic of sizes or of doubles, for which there is no grid.
        """
        if not self._is_float32(node.output[0]) or node.output[0] in self.masked:
            return False
        if node.op_type in WEIGHTED:
            return self.in_integers(node)
        if node.op_type in _OF_TWO:
            return not self.constants.intersection(node.input)
        return node.op_type in kinds

    def _is_float32(self, name: str) -> bool:
        """Whether a tensor is float32; one whose type cannot be inferred is not."""
        return self.types.get(name) == TensorProto.FLOAT

    def _rectifies(self, node: NodeProto) -> bool:
        """Whether the node only cuts off what is below zero, and what its grid does not reach."""
        if node.op_type == "Clip":
            return len(node.input) > 1 and node.input[1] in self.zeros
        return node.op_type == "Relu"

    def in_float(self, nodes: Sequence[NodeProto]) -> Counter[str]:
        """Count the kinds of nodes before a grid that do not compute in integers.

        Normalisation does not count, nor do nodes that only move values, that a grid absorbs or
        that return no floats, such as a comparison.
        """
        found: Counter[str] = Counter()
        followed: set[str] = set()
        for node in reversed(nodes):
            if followed.isdisjoint(node.output) and not any(map(self.on_grid, node.output)):
                continue
            if node.op_type in _MEASURING:
                continue
            followed.update(node.input)
            if not any(self.types.get(name) in _FLOATING for name in node.output):
                continue
            moves = node.op_type in _MOVING or node.op_type == "DequantizeLinear"
            scales = node.op_type in _OF_TWO and self.constants.intersection(node.input)
            if not (moves or scales or self._rectifies(node) or self._fuses(node, _COMPUTING)):
                found[node.op_type] += 1
        return found


def _is_zero(tensor: TensorProto) -> bool:
    return list(tensor.dims) == [] and not numpy_helper.to_array(tensor).any()


def _masked(model: ModelProto) -> frozenset[str]:
    """Return the tensors through which huge constants reach a softmax."""
    hidden = {tensor.name for tensor in model.graph.initializer if _is_huge(tensor)}
    if not hidden:
        return frozenset()
    for node in model.graph.node:
        if node.op_type in _CARRYING and not hidden.isdisjoint(node.input):
            hidden.update(node.output)
    found: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type == "Softmax" or not found.isdisjoint(node.output):
            found.update(hidden.intersection(node.input))
    return frozenset(found)


def _is_huge(tensor: TensorProto) -> bool:
    if tensor.data_type not in _FLOATING:
        return False
    return bool((np.abs(numpy_helper.to_array(tensor)) >= _HIDING).any())


def _logits(model: ModelProto) -> frozenset[str]:
    """Return the graph's outputs and what they only rescale or reshape."""
    found = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type in _ANSWERING and node.output[0] in found:
            found.add(node.input[0])
    return frozenset(found)


def quantized_tensors(model: ModelProto, *, integer: frozenset[str]) -> tuple[str, ...]:
    """Return the names of the activations on a grid, in the order in which they are computed."""
    placement = Placement.of(model, integer=integer)
    names = [value.name for value in model.graph.input]
    names += [name for node in model.graph.node for name in node.output]
    return tuple(name for name in names if placement.on_grid(name))
