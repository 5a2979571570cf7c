"""A graph without some of its channels: constants sliced, numbers in nodes mended. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from compress.network.graph.coupling import shuffles
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.coupling.mending import Kept, Surroundings, mend
from compress.network.graph.coupling.operands import makers
from compress.network.graph.coupling.union_find import LabelArray
from compress.network.graph.values import Array, Graph, Node, Shapes
from compress.values.errors import InvalidCandidate

Gone: TypeAlias = Mapping[str, Iterable[int]]
"""The channels that leave, by the root of their group, numbered from 0 within it."""


def remove(graph: Graph, shapes: Shapes, couplings: Couplings, gone: Gone) -> tuple[Graph, Shapes]:
    """Return the graph and its shapes without the channels ``gone``.

    Raises InvalidCandidate for a root that leads no group, for channels that it does not have, if
    sections do not lose alike, and if nothing would be left along an axis.
    """
    leaving = _leaving(couplings, gone)
    if len(leaving) == 0:
        return graph, shapes
    plain, old = shuffles.as_gathers(graph, shapes)
    kept = _kept(plain, couplings, leaving)
    around = Surroundings(kept=kept, shapes=old, tensors=plain.tensors, made_by=makers(plain))
    tensors = {name: _sliced(own, kept.get(name)) for name, own in plain.tensors.items()}
    nodes, targets = list[Node](), dict[str, tuple[int, ...]]()
    for node in plain.nodes:
        made, constants = mend(node, around)
        nodes.extend(made)
        tensors |= constants
        targets |= {new.output: old[node.inputs[1]] for new in made[:-1]}
    sizes = {name: own.shape for name, own in tensors.items()}
    smaller = replace(plain, nodes=tuple(nodes), tensors=tensors)
    return smaller, {**old, **targets, **_sizes(kept), **sizes}


def narrowed(graph: Graph, shapes: Shapes, couplings: Couplings, gone: Gone) -> Shapes:
    """Return the shapes that tensors have without the channels ``gone``; no constant is touched.

    It is how a candidate is counted before it is built. Raises InvalidCandidate as ``remove`` does.
    """
    leaving = _leaving(couplings, gone)
    return {**shapes, **_sizes(_kept(graph, couplings, leaving))}


def zeroed(graph: Graph, couplings: Couplings, gone: Gone) -> Graph:
    """Return the whole graph with zeros for all that reads the channels ``gone``.

    It answers like the graph without them, if their groups are exact.
    """
    leaving = _leaving(couplings, gone)
    tensors = dict(graph.tensors)
    for held in (held for group in couplings.groups for held in group.slices):
        if held.part == "reader":
            own = tensors[held.tensor]
            lost = np.isin(_numbers_of(couplings, held.tensor, own)[held.axis], leaving)
            shape = [-1 if axis == held.axis else 1 for axis in range(own.ndim)]
            tensors[held.tensor] = np.where(lost.reshape(shape), np.zeros_like(own), own)
    return replace(graph, tensors=tensors)


def _leaving(couplings: Couplings, gone: Gone) -> LabelArray:
    """Return the numbers of the channels among those of all groups."""
    groups = {group.root: group for group in couplings.groups}
    numbers = [np.zeros(0, np.int64)]
    for root, channels in gone.items():
        if root not in groups:
            raise InvalidCandidate(f"no group of channels has the root {root!r}")
        count, own = groups[root].num_channels, np.unique(np.array([*channels], np.int64))
        if len(own) and not 0 <= own[0] <= own[-1] < count:
            raise InvalidCandidate(f"{root} has the channels 0 to {count - 1}, not {own[-1]}")
        units, counts = np.unique(own % (count // groups[root].sections), return_counts=True)
        if len(units) and counts.min() < groups[root].sections:
            raise InvalidCandidate(
                f"channels of {root} must leave all {groups[root].sections} sections alike"
            )
        numbers.append(own + couplings.starts[root])
    return np.concatenate(numbers)


def _kept(graph: Graph, couplings: Couplings, leaving: LabelArray) -> dict[str, Kept]:
    """Return which indices stay, along every axis of every tensor."""
    ends = (couplings.starts[group.root] + group.num_channels for group in couplings.groups)
    stays = np.ones(max(ends, default=1), bool)
    stays[leaving] = False
    kept: dict[str, Kept] = {}
    for name, axes in couplings.axes.items():
        own = graph.tensors.get(name)
        axes = axes if own is None else _numbers_of(couplings, name, own)
        kept[name] = tuple(stays[axis] for axis in axes)
        if not all(axis.any() or axis.size == 0 for axis in kept[name]):
            raise InvalidCandidate(f"nothing would be left along an axis of {name}")
    return kept


def _sizes(kept: Mapping[str, Kept]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(int(own.sum()) for own in each) for name, each in kept.items()}


def _numbers_of(couplings: Couplings, name: str, constant: Array) -> Sequence[LabelArray]:
    """Return the channels along the axes of a constant, which holds one section of several."""
    axes = couplings.axes[name]
    return [axis[:length] for axis, length in zip(axes, constant.shape, strict=True)]


def _sliced(constant: Array, kept: Kept | None) -> Array:
    for axis, own in enumerate(kept or ()):
        if not own.all():
            constant = np.compress(own, constant, axis=axis)
    return constant
