"""Channels through Reshape and Flatten: axes are merged, split, or both.

A merged axis repeats the labels of the one axis that may lose some. Of an axis that is split only
whole slabs along one of the new axes may leave: those along which each slab is one channel already,
else those that an earlier walk chose (the heads of attention), else those of the longest axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from compress.network.graph.coupling.axes import AxisLabels, LabelledAxes, Splitting, still
from compress.network.graph.coupling.rules.arrangement import unknown
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Node

_MOST_VALUES = 2**24
"""Of axes that become other axes; each value has a label while they are matched."""


def reshape(node: Node, labels: LabelledAxes) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze; axes of which the sizes are computed stay."""
    target = labels.target(node.inputs[1]) if node.op == "Reshape" else []
    if target is None:
        unknown(node, labels)
        return
    axes, shape = labels.of(node.inputs[0]), labels.shape(node.output)
    result = [still(length) for length in shape]
    before = [axis for axis, own in enumerate(axes) if len(own) > 1]
    behind = [axis for axis, length in enumerate(shape) if length > 1]
    lengths = [len(axes[axis]) for axis in before]
    matched = segments(lengths, [shape[axis] for axis in behind])
    for number, (from_axes, to_axes) in enumerate(matched):
        own = [axes[before[place]] for place in from_axes]
        after = [shape[behind[place]] for place in to_axes]
        parts = _Segment(node, labels, key=(node.output, number)).through(own, after)
        for place, part in zip(to_axes, parts, strict=True):
            result[behind[place]] = part
    computed = [axis for axis, entry in enumerate(target) if entry is None]
    labels.hold([result[axis] for axis in computed], f"{node.op} {node.name} computes their number")
    labels.give(node, tuple(result))


def segments(before: Sequence[int], behind: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the shortest runs of axes, of the old and of the new, with equally many values.

    All lengths are above 1, and their products are equal.
    """
    old, new = 0, 0
    while old < len(before):
        first_old, first_new = old, new
        count_old, count_new = before[old], behind[new]
        old, new = old + 1, new + 1
        while count_old != count_new:
            if count_old < count_new:
                count_old, old = count_old * before[old], old + 1
            else:
                count_new, new = count_new * behind[new], new + 1
        yield list(range(first_old, old)), list(range(first_new, new))


class _Segment:
    """Axes that become other axes with the same values."""

    def __init__(self, node: Node, labels: LabelledAxes, *, key: tuple[str, int]) -> None:
        self._node, self._labels, self._key = node, labels, key

    def through(self, axes: Sequence[LabelArray], lengths: Sequence[int]) -> AxisLabels:
        """Return the labels of the new axes, of these lengths."""
        if len(axes) == len(lengths) == 1:
            return tuple(axes)
        live = [axis for axis, own in enumerate(axes) if self._labels.sets.is_free(own).any()]
        if prod(lengths) > _MOST_VALUES:
            self._labels.hold(axes, f"{self._node.op} {self._node.name} lays out too many values")
            live = []
        if not live:
            return tuple(still(length) for length in lengths)
        if len(live) > 1 and self._labels.choices is None:
            return self._opened(np.concatenate([axes[axis] for axis in live]), lengths)
        longest = max(live, key=lambda axis: len(axes[axis]))
        others = [axes[axis] for axis in live if axis != longest]
        self._labels.hold(others, f"{self._node.op} {self._node.name} merges them with others")
        flat = _laid_flat(axes, longest)
        return (flat,) if len(lengths) == 1 else self._split(flat, lengths)

    def _split(self, flat: LabelArray, lengths: Sequence[int]) -> AxisLabels:
        roots = self._labels.sets.roots(flat).reshape(*lengths)
        for axis in range(len(lengths)):
            slabs = np.moveaxis(roots, axis, 0).reshape(lengths[axis], -1)
            if (slabs == slabs[:, :1]).all():
                return _only(axis, np.ascontiguousarray(slabs[:, 0]), lengths)
        if self._labels.choices is None:
            return self._opened(flat, lengths)
        chosen = self._labels.choices.get(self._key)
        axis = int(np.argmax(lengths)) if chosen is None else chosen
        return self._in_slabs(flat.reshape(*lengths), axis, by_head=chosen is not None)

    def _in_slabs(self, labels: LabelArray, axis: int, *, by_head: bool) -> AxisLabels:
        """Let each slab along an axis leave as a whole."""
        slabs = np.moveaxis(labels, axis, 0).reshape(labels.shape[axis], -1)
        first = np.ascontiguousarray(slabs[:, 0])
        others = np.ascontiguousarray(slabs[:, 1:])
        self._labels.join(np.repeat(first, others.shape[1]), others.ravel(), self._node)
        if by_head:
            self._labels.heads.append(first)
        return _only(axis, first, labels.shape)

    def _opened(self, whole: LabelArray, lengths: Sequence[int]) -> AxisLabels:
        """Return new labels for every axis, by which a probing walk sees where it leads."""
        parts = tuple(self._labels.fresh(length) for length in lengths)
        splitting = Splitting(key=self._key, whole_C=whole, parts=dict(enumerate(parts)))
        self._labels.splittings.append(splitting)
        return parts


def choose(labels: LabelledAxes) -> dict[tuple[str, int], int]:
    """Return the axes that reshapes shall split along, after a walk that probed.

    An axis that becomes part of a batch where two activations are multiplied holds heads of
    attention; one that is split further into heads holds them too.
    """
    sought = _roots(labels, labels.batches)
    found: dict[tuple[str, int], int] = {}
    for splitting in reversed(labels.splittings):
        for axis, part in splitting.parts.items():
            if len(part) > 1 and sought & _roots(labels, [part]):
                found[splitting.key] = axis
                sought |= _roots(labels, [splitting.whole_C])
                break
    return found


def _roots(labels: LabelledAxes, axes: Sequence[LabelArray]) -> set[int]:
    if not axes:
        return set()
    together = np.concatenate(list(axes))
    return set(labels.sets.roots(together)[labels.sets.is_free(together)].tolist())


def _laid_flat(axes: Sequence[LabelArray], live: int) -> LabelArray:
    """Return the labels of all values of merged axes, of which one is live."""
    lengths = [len(own) for own in axes]
    shape = [1] * len(axes)
    shape[live] = lengths[live]
    return np.ascontiguousarray(np.broadcast_to(axes[live].reshape(shape), lengths)).ravel()


def _only(axis: int, own: LabelArray, lengths: Sequence[int]) -> AxisLabels:
    """Return the labels of axes of which one is live."""
    return tuple(own if place == axis else still(length) for place, length in enumerate(lengths))
