"""Sizes that a node holds as numbers, after channels have left. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.network.graph.coupling.operands import entries, integers, operand
from compress.network.graph.coupling.rules.arrangement import pad_amounts, split_ends
from compress.network.graph.values import Array, Node, Shapes

Kept: TypeAlias = tuple[NDArray[np.bool_], ...]
"""Which indices stay, along every axis of a tensor."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is known around a node: what stays of every tensor, sizes before, and constants."""

    kept: Mapping[str, Kept]
    shapes: Shapes
    tensors: Mapping[str, Array]
    made_by: Mapping[str, Node]

    def loses(self, name: str) -> bool:
        """Whether a tensor becomes smaller."""
        return any(not own.all() for own in self.kept.get(name, ()))

    def axis(self, name: str, axis: int) -> NDArray[np.bool_]:
        """Return which indices stay along an axis."""
        return self.kept[name][axis]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes after channels have left."""
        return tuple(int(own.sum()) for own in self.kept[name])


Mended: TypeAlias = tuple[tuple[Node, ...], Mapping[str, Array]]
"""A node with other numbers, behind what it needs, and new constants."""
Mending: TypeAlias = Callable[[Node, Surroundings], Mended]


def mend(node: Node, around: Surroundings) -> Mended:
    """Return the node as it must be. New constants are its own, for others may read the old."""
    touched = any(around.loses(name) for name in (*node.inputs, *node.outputs))
    rule = _MENDINGS.get(node.op)
    return ((node,), {}) if rule is None or not touched else rule(node, around)


def _giving(node: Node, operands: Mapping[int, Array]) -> Mended:
    """Give a node constants of its own in these places."""
    inputs = [*node.inputs, *[""] * (max(operands) + 1 - len(node.inputs))]
    own: dict[str, Array] = {}
    for place, constant in operands.items():
        inputs[place] = f"{node.output}:{place}"
        own[inputs[place]] = constant
    return (replace(node, inputs=tuple(inputs)),), own


def _aiming(node: Node, around: Surroundings, wanted: Sequence[int | None]) -> Mended:
    """Give a node a target of these entries; those that are None are computed as before."""
    if None not in wanted:
        return _giving(node, {1: np.array(wanted, np.int64)})
    maker = around.made_by[node.inputs[1]]
    parts: list[str] = []
    own: dict[str, Array] = {}
    taken = iter(wanted)
    for place, part in enumerate(maker.inputs):
        constant = around.tensors.get(part)
        mine = [next(taken) for _ in range(1 if constant is None else constant.size)]
        parts.append(part if constant is None else f"{node.output}:target:{place}")
        own |= {} if constant is None else {parts[-1]: np.array(mine, np.int64)}
    name = f"{node.output}:target"
    along = {"axis": 0}
    target = Node(op="Concat", name=name, inputs=tuple(parts), outputs=(name,), attributes=along)
    return (target, replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]))), own


def _convolution(node: Node, around: Surroundings) -> Mended:
    """A depthwise convolution has as many groups as channels; others lose alike in each."""
    channels = around.axis(node.inputs[0], 1)
    if node.integer("group", 1) != len(channels) or len(channels) == 1:
        return (node,), {}
    return (_with(node, group=int(channels.sum())),), {}


def _recurrent(node: Node, around: Surroundings) -> Mended:
    return (_with(node, hidden_size=int(around.axis(node.inputs[2], 2).sum())),), {}


def _reshape(node: Node, around: Surroundings) -> Mended:
    """Entries that say a size say the new one; 0 and -1 stay."""
    target = entries(node.inputs[1], around.tensors, around.made_by) or []
    for axis, own in enumerate(around.kept[node.output]):
        if (target[axis] or 0) > 0 and not own.all():
            target[axis] = int(own.sum())
    return _aiming(node, around, target)


def _expand(node: Node, around: Surroundings) -> Mended:
    """Entries that do not expand say 1, which leaves a size as it is."""
    target = entries(node.inputs[1], around.tensors, around.made_by) or []
    after, before = around.shapes[node.output], around.shapes[node.inputs[0]]
    for axis in range(-len(target), 0):
        if (target[axis] or 0) > 1:
            passes = -axis <= len(before) and before[axis] == after[axis]
            target[axis] = 1 if passes else int(around.axis(node.output, axis).sum())
    return _aiming(node, around, target)


def _split(node: Node, around: Surroundings) -> Mended:
    kept = around.axis(node.inputs[0], node.integer("axis", 0))
    ends = split_ends(node, integers(around.tensors.get(operand(node, 1))), len(kept))
    parts = [part.sum() for part in np.split(kept, ends[:-1])]
    rest = {name: value for name, value in node.attributes.items() if name != "num_outputs"}
    return _giving(replace(node, attributes=rest), {1: np.array(parts, np.int64)})


def _slice(node: Node, around: Surroundings) -> Mended:
    """Starts and ends count what stays before them."""
    starts, ends = (around.tensors[name].astype(np.int64) for name in node.inputs[1:3])
    axes = integers(around.tensors.get(operand(node, 3))) or tuple(range(len(starts)))
    for place, axis in enumerate(axes):
        kept = around.axis(node.inputs[0], axis)
        if not kept.all():
            first, last, _ = slice(int(starts[place]), int(ends[place])).indices(len(kept))
            starts[place], ends[place] = kept[:first].sum(), kept[:last].sum()
    return _giving(node, {1: starts, 2: ends})


def _pad(node: Node, around: Surroundings) -> Mended:
    """The new channels on both sides are those that stay of them, axis by axis."""
    own_axes = around.shapes[node.inputs[0]]
    along = integers(around.tensors.get(operand(node, 3)))
    amounts = pad_amounts(integers(around.tensors[node.inputs[1]]), along, len(own_axes)) or []
    order = [axis % len(own_axes) for axis in along] if along else list(range(len(own_axes)))
    before, behind = [], []
    for axis in order:
        first, last = amounts[axis]
        kept = around.axis(node.output, axis)
        before.append(int(kept[:first].sum()) if first > 0 else first)
        behind.append(int(kept[len(kept) - last :].sum()) if last > 0 else last)
    return _giving(node, {1: np.array(before + behind, np.int64)})


def _gather(node: Node, around: Surroundings) -> Mended:
    """Places count what stays before them; a list of places loses those that leave."""
    places = around.tensors.get(node.inputs[1])
    axis = node.integer("axis", 0)
    kept = around.axis(node.inputs[0], axis)
    if places is None or kept.all():
        return (node,), {}
    wanted = places % len(kept)
    if places.ndim == 1:
        wanted = wanted[kept[wanted]]
    renumbered = np.cumsum(kept) - 1
    return _giving(node, {1: np.asarray(renumbered[wanted], places.dtype)})


def _resize(node: Node, around: Surroundings) -> Mended:
    """Sizes say the new ones; scales of axes that lose channels are 1."""
    sizes = around.tensors.get(operand(node, 3))
    if sizes is None:
        return (node,), {}
    if along := node.attributes.get("axes"):
        axes = tuple(int(axis) for axis in np.asarray(along).ravel())
    else:
        axes = tuple(range(len(sizes)))
    shape = around.shape(node.output)
    return _giving(node, {3: np.array([shape[axis] for axis in axes], np.int64)})


def _with(node: Node, **attributes: int) -> Node:
    return replace(node, attributes={**node.attributes, **attributes})


_MENDINGS: Mapping[str, Mending] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Expand": _expand,
    "GRU": _recurrent,
    "Gather": _gather,
    "LSTM": _recurrent,
    "Pad": _pad,
    "RNN": _recurrent,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
}
