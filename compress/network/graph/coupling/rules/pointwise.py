"""Channels along operators that change every value by itself, or normalise them. Torch-free."""

from __future__ import annotations

from compress.network.graph.coupling.axes import AxisLabels, LabelledAxes, broadcast, still
from compress.network.graph.coupling.operands import integers, numbers, operand
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Node


def combine(node: Node, labels: LabelledAxes) -> None:
    """Every value by itself, of one tensor or of several laid over one another."""
    operands = [labels.of(name) for name in node.inputs if name]
    labels.give(node, broadcast(labels, operands, node))


def keep(node: Node, labels: LabelledAxes) -> None:
    """Every value by itself; further operands are limits or seeds."""
    labels.give(node, labels.of(node.inputs[0]))


def normalise_by_channel(node: Node, labels: LabelledAxes) -> None:
    """BatchNormalization and InstanceNormalization: every channel by itself."""
    axes = labels.of(node.inputs[0])
    part = "batchnorm" if node.op == "BatchNormalization" else "other"
    for name in node.inputs[1:]:
        labels.join(labels.axis(name, 0, part=part), axes[1], node)
    if node.op == "InstanceNormalization":
        labels.blur(axes[2:])
    labels.give(node, axes)


def normalise_by_group(node: Node, labels: LabelledAxes) -> None:
    """GroupNormalization: sections of the channels, each over all of it."""
    axes = labels.of(node.inputs[0])
    for name in node.inputs[1:]:
        labels.join(labels.axis(name, 0), axes[1], node)
    labels.blur(axes[1:])
    if (groups := node.integer("num_groups", 1)) > 1:
        labels.tie(axes[1], groups)
    labels.give(node, axes)


def normalise_by_position(node: Node, labels: LabelledAxes) -> None:
    """LayerNormalization and its like: over all axes from one on, with scales along them."""
    axes = labels.of(node.inputs[0])
    first = node.integer("axis", -1) % len(axes)
    broadcast(labels, [axes, *(labels.of(name) for name in node.inputs[1:] if name)], node)
    labels.blur(axes[first:])
    labels.give(node, axes)


def normalise_along(node: Node, labels: LabelledAxes) -> None:
    """Softmax and its like: along one axis."""
    axes = labels.of(node.inputs[0])
    labels.blur([axes[node.integer("axis", -1)]])
    labels.give(node, axes)


def normalise_over(node: Node, labels: LabelledAxes) -> None:
    """MeanVarianceNormalization: over the axes it names."""
    axes = labels.of(node.inputs[0])
    labels.blur([axes[axis] for axis in numbers(node, "axes") or (0, 2, 3)])
    labels.give(node, axes)


def normalise_with_neighbours(node: Node, labels: LabelledAxes) -> None:
    """LRN: every channel with those next to it, which others would then be."""
    axes = labels.of(node.inputs[0])
    labels.hold([axes[1]], f"{node.op} {node.name} divides by the channels next to them")
    labels.give(node, axes)


def reduce(node: Node, labels: LabelledAxes) -> None:
    """ReduceMean and its like: what is left changes when values along the axes leave."""
    axes = labels.of(node.inputs[0])
    named = _reduced(node, labels)
    if named is None:
        labels.hold(axes, f"{node.op} {node.name} computes its axes")
        return
    gone = {axis % len(axes) for axis in named or range(len(axes))}
    labels.blur([axes[axis] for axis in sorted(gone)])
    labels.give(node, _left(axes, gone, keeps=bool(node.integer("keepdims", 1))))


def pick_largest(node: Node, labels: LabelledAxes) -> None:
    """ArgMax and ArgMin: their answers are places."""
    axes = labels.of(node.inputs[0])
    axis = node.integer("axis", 0) % len(axes)
    labels.hold([axes[axis]], f"{node.op} {node.name} answers with their places")
    labels.give(node, _left(axes, {axis}, keeps=bool(node.integer("keepdims", 1))))


def pool(node: Node, labels: LabelledAxes) -> None:
    """Pools over windows: every channel by itself, positions stay."""
    batch, channels, *positions = labels.of(node.inputs[0])
    labels.hold(positions, f"the window of {node.op} {node.name} slides over them")
    after = tuple(still(length) for length in labels.shape(node.output)[2:])
    labels.give(node, (batch, channels, *after))


def pool_all(node: Node, labels: LabelledAxes) -> None:
    """Pools over whole maps."""
    batch, channels, *positions = labels.of(node.inputs[0])
    labels.blur(positions)
    labels.give(node, (batch, channels, *(still(1) for _ in positions)))


def _reduced(node: Node, labels: LabelledAxes) -> tuple[int, ...] | None:
    """Return the axes, none for all, None if they are computed."""
    if axes := operand(node, 1):
        return integers(labels.value(axes))
    return numbers(node, "axes") or ()


def _left(axes: AxisLabels, gone: set[int], *, keeps: bool) -> AxisLabels:
    left: list[LabelArray] = []
    for axis, own in enumerate(axes):
        if axis not in gone:
            left.append(own)
        elif keeps:
            left.append(still(1))
    return tuple(left)
