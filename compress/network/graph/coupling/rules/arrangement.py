"""Channels along operators that move values without changing them. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from compress.network.graph.coupling.axes import (
    AxisLabels,
    LabelledAxes,
    broadcast,
    still,
    stills,
)
from compress.network.graph.coupling.operands import integers, numbers, operand
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Node


def transpose(node: Node, labels: LabelledAxes) -> None:
    """Transpose: the axes in another order."""
    axes = labels.of(node.inputs[0])
    order = numbers(node, "perm") or tuple(reversed(range(len(axes))))
    labels.give(node, tuple(axes[axis] for axis in order))


def concatenate(node: Node, labels: LabelledAxes) -> None:
    """Concat: side by side along one axis."""
    operands = [labels.of(name) for name in node.inputs]
    axis = node.integer("axis", 0) % len(operands[0])
    laid = broadcast(labels, [_with(axes, axis, still(1)) for axes in operands], node)
    labels.give(node, _with(laid, axis, np.concatenate([axes[axis] for axes in operands])))


def split(node: Node, labels: LabelledAxes) -> None:
    """Split: several parts along one axis."""
    axes = labels.of(node.inputs[0])
    axis = node.integer("axis", 0) % len(axes)
    given = labels.value(operand(node, 1))
    if operand(node, 1) and given is None:
        unknown(node, labels)
        return
    ends = split_ends(node, integers(given), len(axes[axis]))
    for index, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        labels.give(node, _with(axes, axis, axes[axis][start:end]), output=index)


def split_ends(node: Node, sizes: tuple[int, ...] | None, length: int) -> list[int]:
    """Return where the parts end; without sizes they are equal, but for a shorter last one."""
    if sizes is None:
        each = -(-length // len(node.outputs))
        sizes = (each,) * len(node.outputs)
    return [min(end, length) for end in accumulate(sizes)]


def cut(node: Node, labels: LabelledAxes) -> None:
    """Slice: a range of every axis; with steps the places of what leaves matter."""
    axes = list(labels.of(node.inputs[0]))
    ranges = _ranges(node, labels)
    if ranges is None:
        unknown(node, labels)
        return
    for axis, taken in ranges.items():
        if taken.step not in (None, 1):
            labels.hold([axes[axis]], f"{node.op} {node.name} takes every {taken.step}th of them")
        axes[axis] = axes[axis][taken]
    labels.give(node, tuple(axes))


def _ranges(node: Node, labels: LabelledAxes) -> dict[int, slice] | None:
    """Return the range of every axis that is cut, None if they are computed."""
    given = [integers(labels.value(name)) if name else None for name in node.inputs[1:]]
    starts, ends = given[:2]
    rank = len(labels.shape(node.inputs[0]))
    wanted = [index for index in (3, 4) if operand(node, index)]
    if starts is None or ends is None or any(given[index - 1] is None for index in wanted):
        return None
    along = (given[2] if 3 in wanted else None) or tuple(range(len(starts)))
    steps = (given[3] if 4 in wanted else None) or (1,) * len(starts)
    sides = zip(along, starts, ends, steps, strict=True)
    return {axis % rank: _range(start, end, step) for axis, start, end, step in sides}


def _range(start: int, end: int, step: int) -> slice:
    """Return what Python calls it: an end far below 0 of a step back is the beginning."""
    return slice(start, None if step < 0 and end < -(2**31) + 1 else end, step)


def gather(node: Node, labels: LabelledAxes) -> None:
    """Gather: rows of a table, or chosen channels."""
    table, index = node.inputs[:2]
    rank = len(labels.shape(table))
    axis = node.integer("axis", 0) % rank
    places = labels.value(index)
    if labels.value(table) is not None:
        labels.stay(table, axis)
        picked = labels.of(index)
    elif places is None:
        labels.hold([labels.of(table)[axis]], f"{node.op} {node.name} picks them by their place")
        picked = labels.of(index)
    else:
        picked = _picked(node, labels, labels.of(table)[axis][places])
    columns = [labels.axis(table, other, part="filter") for other in range(rank) if other != axis]
    if labels.value(table) is not None:
        for made in columns:
            labels.make(node, made)
    labels.give(node, (*columns[:axis], *picked, *columns[axis:]))


def _picked(node: Node, labels: LabelledAxes, chosen: LabelArray) -> AxisLabels:
    """Return the axes that chosen channels lie along; only a list of them may lose some."""
    if chosen.ndim == 1:
        return (chosen,)
    labels.hold([chosen.ravel()], f"{node.op} {node.name} picks them by their place")
    return stills(chosen.shape)


def expand(node: Node, labels: LabelledAxes) -> None:
    """Expand: axes of length 1 repeated; as often as a constant says, others may be made less."""
    target, shape = labels.target(node.inputs[1]), labels.shape(node.output)
    if target is None:
        unknown(node, labels)
        return
    axes = labels.of(node.inputs[0])
    own = (*(still(1) for _ in shape[len(axes) :]), *axes)
    said = (*(1 for _ in shape[len(target) :]), *target)
    result: list[LabelArray] = []
    for before, length, entry in zip(own, shape, said, strict=True):
        if entry is None:
            labels.hold([before], f"{node.op} {node.name} computes their number")
            result.append(before if len(before) == length else still(length))
        else:
            result.append(before if len(before) == length else labels.fresh(length))
    labels.give(node, tuple(result))


def pad(node: Node, labels: LabelledAxes) -> None:
    """Pad: new channels of one value before and behind, which may leave as others may."""
    axes = labels.of(node.inputs[0])
    amounts = pad_amounts(
        integers(labels.value(operand(node, 1))), _pad_axes(node, labels), len(axes)
    )
    if amounts is None:
        unknown(node, labels)
        return
    is_constant = node.text("mode", "constant") == "constant"
    padded: list[LabelArray] = []
    for own, (before, behind) in zip(axes, amounts, strict=True):
        if (before, behind) != (0, 0) and not (is_constant and min(before, behind) >= 0):
            labels.hold([own], f"{node.op} {node.name} repeats or cuts them by their place")
        padded.append(_padded(labels, own, before, behind))
    labels.give(node, tuple(padded))


def _pad_axes(node: Node, labels: LabelledAxes) -> tuple[int, ...] | None:
    name = operand(node, 3)
    return integers(labels.value(name)) if name else None


def pad_amounts(
    amounts: tuple[int, ...] | None, along: tuple[int, ...] | None, rank: int
) -> list[tuple[int, int]] | None:
    """Return how much is added before and behind every axis, None if that is computed."""
    if amounts is None:
        return None
    along = tuple(range(rank)) if along is None else along
    found = [(0, 0)] * rank
    for place, axis in enumerate(along):
        found[axis % rank] = (amounts[place], amounts[place + len(along)])
    return found


def _padded(labels: LabelledAxes, own: LabelArray, before: int, behind: int) -> LabelArray:
    """Return the labels with new ones on both sides; an axis of which nothing leaves gets none."""
    kept = own[max(0, -before) : len(own) - max(0, -behind)]
    free = labels.sets.is_free(own).any()
    new = labels.sets.fresh if free else still
    return np.concatenate([new(max(0, before)), kept, new(max(0, behind))])


def tile(node: Node, labels: LabelledAxes) -> None:
    """Tile: whole axes repeated."""
    repeats = integers(labels.value(node.inputs[1]))
    if repeats is None:
        unknown(node, labels)
        return
    axes = labels.of(node.inputs[0])
    labels.give(node, tuple(np.tile(own, n) for own, n in zip(axes, repeats, strict=True)))


def resize(node: Node, labels: LabelledAxes) -> None:
    """Resize: axes of another length are interpolated, the others pass."""
    axes, shape = labels.of(node.inputs[0]), labels.shape(node.output)
    changed = [own for own, length in zip(axes, shape, strict=True) if len(own) != length]
    labels.hold(changed, f"{node.op} {node.name} interpolates between them")
    labels.give(
        node,
        tuple(
            own if len(own) == length else still(length)
            for own, length in zip(axes, shape, strict=True)
        ),
    )


def sample_grid(node: Node, labels: LabelledAxes) -> None:
    """GridSample: every channel by itself, at places between others."""
    batch, channels, *positions = labels.of(node.inputs[0])
    labels.hold(
        [*positions, *labels.of(node.inputs[1])], f"{node.op} {node.name} samples between them"
    )
    labels.give(node, (batch, channels, *stills(labels.shape(node.output)[2:])))


def depth_to_space(node: Node, labels: LabelledAxes) -> None:
    """DepthToSpace: the channels of one position become a block of positions of one channel."""
    batch, channels, *positions = labels.of(node.inputs[0])
    labels.hold(positions, f"{node.op} {node.name} moves them")
    block = node.integer("blocksize", 1) ** 2
    by_output = channels.reshape(block, -1).T
    if node.text("mode", "DCR") == "CRD":
        by_output = channels.reshape(-1, block)
    outputs = np.ascontiguousarray(by_output[:, 0])
    for other in by_output.T[1:]:
        labels.join(outputs, other, node)
    labels.give(node, (batch, outputs, *stills(labels.shape(node.output)[2:])))


def space_to_depth(node: Node, labels: LabelledAxes) -> None:
    """SpaceToDepth: a block of positions of one channel becomes channels of one position."""
    batch, channels, *positions = labels.of(node.inputs[0])
    labels.hold(positions, f"{node.op} {node.name} moves them")
    repeated = np.tile(channels, node.integer("blocksize", 1) ** 2)
    labels.give(node, (batch, repeated, *stills(labels.shape(node.output)[2:])))


def source(node: Node, labels: LabelledAxes) -> None:
    """Give the output of a node that reads only sizes axes that stay."""
    labels.give(node, stills(labels.shape(node.output)))


def unknown(node: Node, labels: LabelledAxes) -> None:
    """Hold what no rule follows."""
    for name in node.inputs:
        if name and labels.has_shape(name):
            labels.hold(labels.of(name), f"{node.op} {node.name} cannot be followed")


def _with(axes: Sequence[LabelArray], axis: int, own: LabelArray) -> AxisLabels:
    return (*axes[:axis], own, *axes[axis + 1 :])
