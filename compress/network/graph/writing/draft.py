"""What a spelling may ask of the graph, and what it adds to it. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from compress.network.graph.rewiring import free_name, names_of
from compress.network.graph.values import Array, Attribute, Graph, Node
from compress.values.errors import InvalidNetwork


@dataclass
class FileDraft:
    """Constants and nodes of the file that is written.

    ``shapes`` are those that are known, None for the sizes of axes that are not.
    """

    graph: Graph
    opset: int
    shapes: Mapping[str, Sequence[int | None]]
    tensors: dict[str, Array] = field(init=False)
    nodes: list[Node] = field(default_factory=list[Node])
    taken: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.tensors)
        self.taken = names_of(self.graph)

    def constant(self, node: Node, word: str, value: Any, dtype: DTypeLike = np.int64) -> str:
        """Add a constant for this node; its name."""
        name = self.name(f"{node.name}_{word}")
        self.tensors[name] = np.asarray(value, dtype)
        return name

    def name(self, wanted: str) -> str:
        """A name that no tensor has yet."""
        name = free_name(wanted, self.taken)
        self.taken.add(name)
        return name

    def add(self, node: Node, op: str, *inputs: str, to: str = "", **attributes: Attribute) -> str:
        """Add an operator that helps to spell ``node``; what it makes, ``to`` if that is given."""
        output = to or self.name(f"{node.name}_{op}")
        name = self.name(f"{node.name}/{op}")
        made = Node(op=op, name=name, inputs=inputs, outputs=(output,), attributes=attributes)
        self.nodes.append(made)
        return output

    def rank(self, node: Node) -> int:
        """The axes of the node's first input. Raises InvalidNetwork if they are not known."""
        name = node.inputs[0]
        if name not in self.shapes:
            self.refuse(node, "with an input whose number of axes is not known")
        return len(self.shapes[name])

    def size(self, node: Node, axis: int) -> int | None:
        """The length of the node's first input along an axis; None if it is not known."""
        shape = self.shapes.get(node.inputs[0])
        return None if shape is None else shape[axis]

    def values(self, node: Node, place: int) -> Array | None:
        """The constant in that place; None if it is left out.

        Raises InvalidNetwork if it is computed.
        """
        name = node.inputs[place] if len(node.inputs) > place else ""
        if name and name not in self.tensors:
            self.refuse(node, f"with an input {place} that is computed")
        return self.tensors[name] if name else None

    def refuse(self, node: Node, why: str = "") -> NoReturn:
        """Raise InvalidNetwork: the opset has no words for this node."""
        raise InvalidNetwork(
            f"{node.op} (node {node.name[:80]!r}) {why} cannot be written for opset {self.opset}: "
            "write the file for opset 21".replace("  ", " ")
        )
