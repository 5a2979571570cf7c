"""Parameters and multiply-accumulates of a graph, from the sizes of its tensors alone. Torch-free.

They are what ``compress.export.counting`` reads in a file, and what ``torch.utils.flop_counter``
counts (whose FLOPs are twice these MACs): a bias, a norm, a pool or a sum is no
multiply-accumulate. Of recurrent layers the gates' matrices count, at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from compress.network.graph.roles import roles
from compress.network.graph.values import Graph, Node, Shapes


@dataclass(frozen=True, kw_only=True)
class NodeCounts:
    """What one node counts.

    ``parameters`` are the constants that it trains: weights, biases, scales, tables and free
    parameters, not running statistics. One that several nodes read counts at the first. ``macs``
    are for the batch that the shapes are bound to.
    """

    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class GraphCounts:
    """What every node counts, by its name, and all of them together.

    ``weights`` are the parameters of the nodes that multiply by a weight or look up in a table,
    which is what a file counts: norms are folded into those, and are no parameters of it.
    """

    nodes: Mapping[str, NodeCounts]
    weights: int

    @property
    def parameters(self) -> int:
        """Everything that is trained."""
        return sum(each.parameters for each in self.nodes.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all nodes."""
        return sum(each.macs for each in self.nodes.values())


def count(graph: Graph, shapes: Shapes) -> GraphCounts:
    """Count parameters and multiply-accumulates, node by node.

    Only sizes are looked at: with those that ``coupling.removal.narrowed`` gives, the graph counts
    what it would without channels.
    """
    seen = set[str]()
    nodes = {node.name: _counts(node, graph, shapes, seen) for node in graph.nodes}
    multiplying = [node.name for node in graph.nodes if node.op in {*_MACS, "Gather"}]
    return GraphCounts(nodes=nodes, weights=sum(nodes[name].parameters for name in multiplying))


def trained(node: Node, graph: Graph) -> list[str]:
    """Return the constants that the node trains, in the order of its inputs.

    A constant of one element is a number of the operator, unless its role says otherwise.
    """
    found: list[str] = []
    for name, role in zip(node.inputs, roles(node), strict=True):
        constant = graph.tensors.get(name)
        if constant is None or not role.is_trained or constant.dtype.kind != "f":
            continue
        if role.kind != "data" or constant.size > 1:
            found.append(name)
    return found


def _counts(node: Node, graph: Graph, shapes: Shapes, seen: set[str]) -> NodeCounts:
    """Count one node; ``seen`` holds the constants that nodes before it have counted."""
    new = [name for name in dict.fromkeys(trained(node, graph)) if name not in seen]
    seen.update(new)
    macs = _MACS.get(node.op)
    return NodeCounts(
        parameters=sum(prod(shapes[name]) for name in new),
        macs=0 if macs is None else macs(node, shapes),
    )


def _conv(node: Node, shapes: Shapes) -> int:
    """Every output value is a dot product; its length is what one output channel weighs."""
    return prod(shapes[node.output]) * prod(shapes[node.inputs[1]][1:])


def _conv_transpose(node: Node, shapes: Shapes) -> int:
    """Every input value is multiplied by all that its channel weighs."""
    return prod(shapes[node.inputs[0]]) * prod(shapes[node.inputs[1]][1:])


def _gemm(node: Node, shapes: Shapes) -> int:
    rows = shapes[node.inputs[0]]
    return prod(shapes[node.output]) * rows[0 if node.integer("transA", 0) else 1]


def _matmul(node: Node, shapes: Shapes) -> int:
    return prod(shapes[node.output]) * shapes[node.inputs[0]][-1]


def _recurrent(node: Node, shapes: Shapes) -> int:
    """``X (T, B, I)`` by ``W (D, G H, I)``, and the state by ``R (D, G H, H)``, at every step."""
    first, second, _ = shapes[node.inputs[0]]
    return first * second * sum(prod(shapes[name]) for name in node.inputs[1:3])


_MACS: Mapping[str, Callable[[Node, Shapes], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "RNN": _recurrent,
}
