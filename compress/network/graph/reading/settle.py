"""Run-time arithmetic on shapes becomes constants where a graph allows it. Torch-free.

A graph is bound to two sets of sizes. What is equal in both is a constant; what differs follows an
input's axis. Afterwards most graphs hold no ``Shape`` any more, and numbers of channels that hid in
sums of sizes are constants that whoever removes channels can mend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compress.network.graph.rewiring import free_name, names_of, without_identities
from compress.network.graph.shapes import BoundGraph, bound
from compress.network.graph.values import Array, Graph, Node


def settle(graph: Graph, a: Mapping[str, int], b: Mapping[str, int]) -> Graph:
    """Make constants of what two different sizes of every dynamic axis leave equal.

    A ``Reshape`` target becomes ``[0 | -1, c, ...]``; an ``Expand`` target holds 1 for every axis
    that it leaves; ``Resize`` gets scales for whole ratios. Where several entries follow inputs,
    the target is a ``Concat`` of them and of constants. Raises InvalidNetwork as ``bind`` does.
    """
    first, second = bound(graph, a), bound(graph, b)
    frozen = _with_constants(graph, _equal(first.values, second.values))
    rewriting = _Rewriting(frozen, first, second)
    nodes = tuple(new for node in frozen.nodes for new in rewriting.rewritten(node))
    done = replace(frozen, nodes=nodes, tensors=rewriting.tensors)
    return without_identities(done, lambda node: _is_identity(node, first.types))


def _is_identity(node: Node, types: Mapping[str, int]) -> bool:
    """Whether a node casts to the type that is there, as files of 16 bits do once they are read."""
    return node.op == "Cast" and types.get(node.inputs[0]) == node.attributes["to"]


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: value for name, value in a.items() if name in b and np.array_equal(value, b[name])
    }


def _with_constants(graph: Graph, constants: Mapping[str, Array]) -> Graph:
    """Let whoever reads these tensors read constants; outputs are computed as before."""
    outputs = {port.name for port in graph.outputs}
    gone = {
        node.name
        for node in graph.nodes
        if all(n in constants and n not in outputs for n in node.outputs if n)
    }
    nodes = tuple(node for node in graph.nodes if node.name not in gone)
    made = {name for node in nodes for name in node.outputs}
    kept = {name: value for name, value in constants.items() if name not in made}
    return replace(graph, nodes=nodes, tensors={**graph.tensors, **kept})


@dataclass
class _Rewriting:
    """The graph that is rewritten, bound twice, and what it gets."""

    graph: Graph
    first: BoundGraph
    second: BoundGraph
    tensors: dict[str, Array] = field(init=False)
    taken: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.tensors)
        self.taken = names_of(self.graph)

    def rewritten(self, node: Node) -> Iterator[Node]:
        """The node, and before it what it needs."""
        target = node.inputs[1] if len(node.inputs) > 1 else ""
        if node.op == "Reshape":
            node = self._without_zeros(node, target)
        if node.op == "Reshape" and not node.integer("allowzero", 0):
            yield from self._targeted(node, target, self._reshape_entries(node))
        elif node.op == "Expand":
            yield from self._targeted(node, target, self._expand_entries(node))
        elif node.op == "Resize" and len(node.inputs) == 4:
            yield self._scaled(node)
        elif node.op == "Split" and len(node.inputs) == 1:
            yield self._sized(node)
        else:
            yield node

    def _pair(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        shapes = self.first.shapes.get(name), self.second.shapes.get(name)
        return None if shapes[0] is None or shapes[1] is None else (shapes[0], shapes[1])

    def _without_zeros(self, node: Node, target: str) -> Node:
        """A reshape whose target holds no 0 needs no word on what a 0 means."""
        values = self._values(target)
        if values is None or 0 in (*values[0], *values[1]):
            return node
        kept = {name: v for name, v in node.attributes.items() if name != "allowzero"}
        return replace(node, attributes=kept)

    def _reshape_entries(self, node: Node) -> list[int | None] | None:
        """The target's entries; None for one that follows inputs in a way of its own."""
        before, after = self._pair(node.inputs[0]), self._pair(node.output)
        if node.inputs[1] in self.tensors or before is None or after is None:
            return None
        if 0 in (*after[0], *after[1]):
            return None
        entries = _common(*after)
        for axis, entry in enumerate(entries):
            if entry is None and all(
                after[k][axis : axis + 1] == before[k][axis : axis + 1] for k in (0, 1)
            ):
                entries[axis] = 0
        if entries.count(None) == 1:
            entries[entries.index(None)] = -1
        return entries

    def _expand_entries(self, node: Node) -> list[int | None] | None:
        before, after = self._pair(node.inputs[0]), self._pair(node.output)
        targets = self._values(node.inputs[1])
        if before is None or after is None or targets is None:
            return None
        rank = len(targets[0])
        entries = _common(*targets)
        for axis in range(-rank, 0):
            if -axis <= len(before[0]) and all(before[k][axis] == after[k][axis] for k in (0, 1)):
                entries[axis] = 1
        return entries

    def _values(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        found = [
            self.tensors.get(name, each.values.get(name)) for each in (self.first, self.second)
        ]
        if found[0] is None or found[1] is None:
            return None
        return tuple(found[0].tolist()), tuple(found[1].tolist())

    def _targeted(
        self, node: Node, target: str, entries: Sequence[int | None] | None
    ) -> Iterator[Node]:
        """The node with a target of these entries; as it is if they are not known."""
        if entries is None:
            yield node
            return
        if None not in entries:
            name = self._constant(f"{node.name}_target", entries)
        else:
            name = self._name(f"{node.name}_target")
            parts: list[str] = []
            for axis, entry in enumerate(entries):
                if entry is None:
                    picking = tuple(self._picked(node, target, axis))
                    yield from picking
                    parts.append(picking[-1].output)
                else:
                    parts.append(self._constant(f"{node.name}_target_{axis}", [entry]))
            along = {"axis": 0}
            yield Node(
                op="Concat", name=name, inputs=tuple(parts), outputs=(name,), attributes=along
            )
        yield replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]))

    def _picked(self, node: Node, target: str, axis: int) -> Iterator[Node]:
        """Pick one entry of the target, from the shape of an input if that has it.

        The last node that comes makes the entry.
        """
        found = self._port_axis(target, axis)
        source, place = target, axis
        if found is not None:
            port, place = found
            source = self._name(f"{node.name}_sizes_{axis}")
            yield Node(op="Shape", name=source, inputs=(port,), outputs=(source,))
        index = self._constant(f"{node.name}_axis_{axis}", [place])
        name = self._name(f"{node.name}_target_{axis}")
        yield Node(op="Gather", name=name, inputs=(source, index), outputs=(name,))

    def _port_axis(self, target: str, entry: int) -> tuple[str, int] | None:
        """The input and the axis whose size the target's entry is, whatever the sizes."""
        values = self._values(target)
        for port in self.graph.inputs if values is not None else ():
            shapes = self._pair(port.name)
            for axis in range(len(port.shape)):
                if values and shapes and all(shapes[k][axis] == values[k][entry] for k in (0, 1)):
                    return port.name, axis
        return None

    def _scaled(self, node: Node) -> Node:
        """A resize to sizes that are whole multiples of its input's is one by scales."""
        before, after = self._pair(node.inputs[0]), self._pair(node.output)
        if node.inputs[3] in self.tensors or before is None or after is None:
            return node
        ratios = [
            [wide / narrow for wide, narrow in zip(after[k], before[k], strict=True)]
            for k in (0, 1)
        ]
        if ratios[0] != ratios[1] or not all(
            (r if r >= 1 else 1 / r).is_integer() for r in ratios[0]
        ):
            return node
        name = self._name(f"{node.name}_scales")
        axes = node.integers("axes", tuple(range(len(ratios[0]))))
        kept = [ratios[0][axis] for axis in axes]
        self.tensors[name] = np.asarray(kept, np.float32)
        attributes = {k: v for k, v in node.attributes.items() if k != "keep_aspect_ratio_policy"}
        return replace(node, inputs=(*node.inputs[:2], name), attributes=attributes)

    def _sized(self, node: Node) -> Node:
        """A split whose parts have the same sizes, whatever comes in, says them."""
        axis = node.integer("axis", 0)
        found = [self._pair(name) for name in node.outputs]
        parts = [[pair[k][axis] for pair in found if pair is not None] for k in (0, 1)]
        if parts[0] != parts[1] or len(parts[0]) != len(node.outputs):
            return node
        sizes = self._constant(f"{node.name}_sizes", parts[0])
        kept = {name: v for name, v in node.attributes.items() if name != "num_outputs"}
        return replace(node, inputs=(*node.inputs, sizes), attributes=kept)

    def _constant(self, wanted: str, entries: Sequence[int | None]) -> str:
        name = self._name(wanted)
        self.tensors[name] = np.asarray(entries, np.int64)
        return name

    def _name(self, wanted: str) -> str:
        name = free_name(wanted, self.taken)
        self.taken.add(name)
        return name


def _common(a: Sequence[int], b: Sequence[int]) -> list[int | None]:
    return [one if one == other else None for one, other in zip(a, b, strict=True)]
