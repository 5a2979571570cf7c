"""Where a float ONNX graph gets its quantized tensors: one rule per kind of node.

A tensor lies on a grid when a computing node reads it or an integer Conv, Gemm or Add produced it:
only then can ONNX Runtime fuse the node with its neighbours. A Relu is absorbed by the grid of its
output, which starts at zero. A weighted node that gives the graph's output, the classifier,
computes in float, also where a softmax follows it: the logits would need a grid of their own, and
with one they tie.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_PRODUCING = WEIGHTED | {"Add"}
_COMPUTING = _PRODUCING | {"AveragePool", "GlobalAveragePool", "ReduceMean"}
# These only move values about, so their output lies on the grid of their input.
_MOVING = frozenset({"MaxPool", "Flatten", "Reshape", "Slice", "Transpose", "Squeeze", "Pad"})
# Behind the classifier, these leave its logits what they are: logits.
_ANSWERING = frozenset({"Softmax", "LogSoftmax", "Flatten", "Reshape", "Squeeze"})


@dataclass(frozen=True)
class Placement:
    """The graph read once. ``outputs``, logits too, stay float, as does whatever no rule names."""

    constants: frozenset[str]
    producer: dict[str, NodeProto]
    readers: dict[str, list[NodeProto]]
    outputs: frozenset[str]
    integer: frozenset[str]

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
            producer={name: node for node in model.graph.node for name in node.output},
            readers=dict(readers),
            outputs=_logits(model),
            integer=integer,
        )

    def on_grid(self, name: str) -> bool:
        """Whether this activation is quantized."""
        if name in self.constants or name in self.outputs or self._feeds_absorbed_relu(name):
            return False
        return self._wants_grid(name)

    def absorbed(self, node: NodeProto) -> bool:
        """Whether this node is a Relu that the grid of its output replaces."""
        if node.op_type != "Relu" or node.output[0] in self.outputs:
            return False
        return len(self.readers[node.input[0]]) == 1 and self._wants_grid(node.output[0])

    def in_integers(self, node: NodeProto) -> bool:
        """Whether this node multiplies integers, not just stores them."""
        return node.output[0] in self.integer and node.output[0] not in self.outputs

    def grid_of(self, name: str) -> str:
        """The tensor whose range sets the grid of this one."""
        node = self.producer.get(name)
        if node is not None and node.op_type in _MOVING and self.on_grid(node.input[0]):
            return self.grid_of(node.input[0])
        return name

    def _wants_grid(self, name: str) -> bool:
        if not self.integer:
            return False
        if any(self._fuses(node, _COMPUTING) for node in self.readers.get(name, ())):
            return True
        node = self.producer.get(name)
        if node is not None and node.op_type == "Relu":
            node = self.producer.get(node.input[0])
        return node is not None and self._fuses(node, _PRODUCING)

    def _feeds_absorbed_relu(self, name: str) -> bool:
        return any(self.absorbed(node) for node in self.readers.get(name, ()))

    def _fuses(self, node: NodeProto, kinds: frozenset[str]) -> bool:
        """Whether the node works on integers: normalisation, an Add of a constant, does not."""
        if node.op_type in WEIGHTED:
            return self.in_integers(node)
        if node.op_type == "Add":
            return not self.constants.intersection(node.input)
        return node.op_type in kinds


def _logits(model: ModelProto) -> frozenset[str]:
    """The graph's outputs and what they only rescale or reshape."""
    found = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type in _ANSWERING and node.output[0] in found:
            found.add(node.input[0])
    return frozenset(found)


def quantized_tensors(model: ModelProto, *, integer: frozenset[str]) -> tuple[str, ...]:
    """Names of the activations on a grid, in the order in which they are computed."""
    placement = Placement.of(model, integer=integer)
    names = [value.name for value in model.graph.input]
    names += [name for node in model.graph.node for name in node.output]
    return tuple(name for name in names if placement.on_grid(name))
