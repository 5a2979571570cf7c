"""The labels of every axis of every tensor, as the rules of the operators find them out.

Torch-free. In names of arrays: C channels along an axis, S slices of a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from compress.network.graph.coupling import operands
from compress.network.graph.coupling.union_find import LabelArray, UnionFind
from compress.network.graph.values import Array, Graph, Node, Shapes

Part = Literal["filter", "bias", "depthwise", "batchnorm", "reader", "other"]
"""What a constant's axis is to the channels along it.

A ``filter`` makes them, with its ``bias``; a ``reader`` reads them; all others pass them on.
"""
Unit = Literal["channel", "head", "hidden"]
"""What leaves as a whole: a channel, a head of attention, a unit of a recurrent layer."""
AxisLabels: TypeAlias = tuple[LabelArray, ...]


@dataclass(frozen=True, kw_only=True)
class Making:
    """The channels ``labels_C`` that a node makes anew, in order."""

    node: str
    labels_C: LabelArray
    unit: Unit


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """A reshape whose choice among the axes it splits into is open: ``parts`` are their labels."""

    key: tuple[str, int]
    whole_C: LabelArray
    parts: Mapping[int, LabelArray]


Choices: TypeAlias = Mapping[tuple[str, int], int]
"""For the segments of reshapes, by output and number: the axis that loses whole slabs."""


class LabelledAxes:
    """The labels found so far.

    ``choices`` are those of an earlier, probing walk; None probes: then no reshape joins or holds
    anything, and ``splittings`` and ``batches`` collect what a choice is made from.
    """

    def __init__(self, graph: Graph, shapes: Shapes, choices: Choices | None) -> None:
        self.sets = UnionFind()
        self.choices = choices
        self.makings: list[Making] = []
        self.ties: list[tuple[LabelArray, LabelArray]] = []
        self.splittings: list[Splitting] = []
        self.batches: list[LabelArray] = []
        self.heads: list[LabelArray] = []
        self.parts: dict[tuple[str, int], Part] = {}
        self.sections: dict[tuple[str, int], int] = {}
        self._graph, self._shapes = graph, shapes
        self._constants: dict[str, dict[int, LabelArray]] = {}
        self._made: dict[str, AxisLabels] = {}
        self._derived = _derived(graph)
        self._makers = operands.makers(graph)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        constant = self._graph.tensors.get(name)
        return self._shapes[name] if constant is None else constant.shape

    def has_shape(self, name: str) -> bool:
        """Whether the shape of a tensor does not depend on values."""
        return name in self._graph.tensors or name in self._shapes

    def value(self, name: str) -> Array | None:
        """Return a constant, None if the tensor is computed."""
        return self._graph.tensors.get(name)

    def target(self, name: str) -> list[int | None] | None:
        """Return the entries of a target of sizes; see ``operands.entries``."""
        found = operands.entries(name, self._graph.tensors, self._makers)
        return found if found is not None and len(found) == self.shape(name)[0] else None

    def is_constant(self, name: str) -> bool:
        """Whether a tensor follows from constants alone."""
        return name in self._derived

    def of(self, name: str) -> AxisLabels:
        """Return the labels of all axes; an unlabelled constant gets fresh ones."""
        if name in self._made:
            return self._made[name]
        return tuple(self.axis(name, axis) for axis in range(len(self.shape(name))))

    def axis(self, name: str, axis: int, *, part: Part = "other", sections: int = 1) -> LabelArray:
        """Return the labels of one axis, which a constant holds as the ``part`` says.

        With ``sections`` the axis stands for as many times its length: those of a grouped
        convolution's weight read the channels of one section each.
        """
        axis %= len(self.shape(name))
        if name in self._made:
            return self._made[name][axis]
        held = self._constants.setdefault(name, {})
        if axis not in held:
            held[axis] = self._fresh_of(name, self.shape(name)[axis] * sections)
            self.parts[name, axis] = part
            self.sections[name, axis] = sections
        return held[axis]

    def stay(self, name: str, *axes: int) -> None:
        """Say that these axes of an operand keep their size, whatever else reads it."""
        if name in self._made:
            self.hold([self._made[name][axis] for axis in axes], "they are places of a weight")
            return
        held = self._constants.setdefault(name, {})
        for axis in axes:
            self.hold([held[axis]] if axis in held else [], "another layer picks them by place")
            held[axis] = still(self.shape(name)[axis])

    def knows(self, name: str) -> bool:
        """Whether a computed tensor has its labels."""
        return name in self._made

    def define(self, name: str, labels: AxisLabels) -> None:
        """Label a computed tensor."""
        self._made[name] = labels

    def give(self, node: Node, labels: AxisLabels, *, output: int = 0) -> None:
        """Label one output of a node."""
        name = node.outputs[output] if output < len(node.outputs) else ""
        if name:
            self._made[name] = labels

    def fresh(self, length: int) -> LabelArray:
        """Return new labels; those of an axis of length 1 stay, for no axis may vanish."""
        return self.sets.fresh(length) if length > 1 else still(length)

    def join(self, one_S: LabelArray, other_S: LabelArray, node: Node) -> None:
        """Make each two labels one, as the node demands."""
        self.sets.join(one_S, other_S, f"{node.op} {node.name} joins them with what stays")

    def hold(self, axes: Sequence[LabelArray], reason: str) -> None:
        """Say that these never leave, and why."""
        for labels in axes:
            self.sets.hold(labels, reason)

    def blur(self, axes: Sequence[LabelArray]) -> None:
        """Say that others change when these leave."""
        for labels in axes:
            self.sets.blur(labels)

    def tie(self, labels_C: LabelArray, sections: int) -> None:
        """Say that as many channels leave every section, those with the same place in each."""
        by_section = labels_C.reshape(sections, -1)
        for other in by_section[1:]:
            self.ties.append((by_section[0], other))

    def make(self, node: Node, labels_C: LabelArray, unit: Unit = "channel") -> None:
        """Say that the node makes these channels."""
        self.makings.append(Making(node=node.name, labels_C=labels_C, unit=unit))

    def all(self) -> dict[str, AxisLabels]:
        """Return the labels of every tensor that has some."""
        constants = {
            name: tuple(
                held.get(axis, still(length)) for axis, length in enumerate(self.shape(name))
            )
            for name, held in self._constants.items()
        }
        return constants | self._made

    def _fresh_of(self, name: str, length: int) -> LabelArray:
        """Integers are sizes, places and counts: their axes stay."""
        constant = self._graph.tensors.get(name)
        counts = constant is not None and constant.dtype.kind not in "fb"
        return still(length) if counts else self.fresh(length)


def still(length: int) -> LabelArray:
    """Return the labels of an axis that stays as it is."""
    return np.zeros(length, np.int64)


def stills(shape: Sequence[int]) -> AxisLabels:
    """Return the labels of a tensor of which nothing leaves."""
    return tuple(still(length) for length in shape)


def _derived(graph: Graph) -> frozenset[str]:
    names = {*graph.tensors, ""}
    for node in graph.nodes:
        if node.inputs and names.issuperset(node.inputs):
            names.update(node.outputs)
    return frozenset(names - {""})


def broadcast(labels: LabelledAxes, laid: Sequence[AxisLabels], node: Node) -> AxisLabels:
    """Join axes that numpy's broadcasting lays over one another, and return those of the result."""
    rank = max(len(axes) for axes in laid)
    result: list[LabelArray] = []
    for axis in range(-rank, 0):
        meeting = [axes[axis] for axes in laid if len(axes) >= -axis]
        long = [one for one in meeting if len(one) > 1]
        for other in long[1:]:
            labels.join(long[0], other, node)
        result.append((long or meeting)[0])
    return tuple(result)
