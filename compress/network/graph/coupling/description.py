"""The groups of a graph in words: whose channels may leave, and what they hold. Torch-free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.groups import CoupledGroup, Couplings, HeldSlices
from compress.network.graph.coupling.rules.walk import ANSWERS
from compress.network.graph.names import layer_names
from compress.network.graph.roles import roles
from compress.network.graph.values import Graph, Node, Shapes
from compress.network.outline import CoupledChannels, GroupAxis, GroupInfo, LayerInfo

_OF_WEIGHTS = frozenset({"filter", "depthwise", "reader"})
_LINEAR = frozenset({"Gemm", "MatMul"})
_WITH_WEIGHTS = _LINEAR | {"Conv", "ConvTranspose", "GRU", "Gather", "LSTM", "RNN"}
_MATRIX = 2


@dataclass(frozen=True, kw_only=True)
class _Weight:
    """A constant as the weight of a layer in its outline, output channels first.

    ``axes`` has, for every axis of the constant that may lose slices, which one it is in the
    outline, how many indices a slice has there, and of how many sections it holds one.
    """

    layer: str
    axes: Mapping[int, tuple[int, int, int]]

    def held(self, slices: HeldSlices) -> tuple[int, int]:
        """Return which axis of the outline's weight loses slices, and how many indices of it."""
        axis, times, sections = self.axes[slices.axis]
        return axis, len(slices.slice_S) * times // sections


def coupled(graph: Graph, shapes: Shapes, layers: tuple[LayerInfo, ...]) -> CoupledChannels:
    """Find the groups of a graph of these layers, and describe them.

    The shapes are those for two examples. Raises InvalidNetwork as ``couple`` does.
    """
    return describe(graph, couple(graph, shapes), layers)


def describe(graph: Graph, couplings: Couplings, layers: tuple[LayerInfo, ...]) -> CoupledChannels:
    """Describe the groups of a graph of these layers."""
    weights, stages = _weights(graph, layer_names(graph)), _stages(layers)
    return CoupledChannels(
        groups=tuple(_described(group, weights, stages) for group in couplings.groups),
        fixed=reasons(couplings),
        is_counted=_is_counted(graph),
    )


def reasons(couplings: Couplings) -> dict[str, str]:
    """Return why the channels of layers stay, apart from those that the network answers with."""
    return {root: why for root, why in couplings.fixed.items() if ANSWERS not in why}


def _weights(graph: Graph, names: Mapping[str, str]) -> Mapping[str, list[_Weight]]:
    found: defaultdict[str, list[_Weight]] = defaultdict(list)
    for node in graph.nodes:
        if node.op not in _WITH_WEIGHTS:
            continue
        for place, (name, role) in enumerate(zip(node.inputs, roles(node), strict=True)):
            if name in graph.tensors and role.kind in {"weight", "table"}:
                axes = _axes(node, place, graph.tensors[name].shape)
                found[name].append(_Weight(layer=names[node.name], axes=axes))
    return found


def _axes(node: Node, place: int, shape: tuple[int, ...]) -> Mapping[int, tuple[int, int, int]]:
    """Return what the axes of a node's constant are in the outline; see ``_Weight``."""
    groups = node.integer("group", 1)
    match node.op:
        case "Conv":
            return {0: (0, 1, 1), 1: (1, 1, groups)}
        case "ConvTranspose" if 1 < groups == shape[0]:
            return {0: (0, shape[1], 1)}
        case "ConvTranspose":
            return {0: (1, 1, groups), 1: (0, 1, 1)}
        case "LSTM" | "GRU" | "RNN":
            # The rows of both constants are those of one matrix.
            return ({1: (0, shape[0], 1)} if place == 1 else {}) | {2: (1, 1, 1)}
        case "Gather":
            return {0: (1, 1, 1), 1: (0, 1, 1)}
        case _:
            is_flipped = roles(node)[place].out_axis in {1, -1}
            return {0: (int(is_flipped), 1, 1), 1: (int(not is_flipped), 1, 1)}


def _described(
    group: CoupledGroup,
    weights: Mapping[str, list[_Weight]],
    stages: Mapping[str, int],
) -> GroupInfo:
    held = [
        (slices, weight)
        for slices in group.slices
        if slices.part in _OF_WEIGHTS
        for weight in weights.get(slices.tensor, ())
        if slices.axis in weight.axes
    ]
    makers = [weight.layer for slices, weight in held if slices.part == "filter"]
    return GroupInfo(
        root=group.root,
        stage=min((stages.get(layer, 0) for layer in makers), default=0),
        num_channels=group.num_channels,
        sections=group.sections,
        width=group.width,
        exact=group.exact,
        unit=group.unit,
        axes=tuple(_axis(group, slices, weight) for slices, weight in held),
    )


def _axis(group: CoupledGroup, slices: HeldSlices, weight: _Weight) -> GroupAxis:
    """Describe what all channels hold; each section of a weight's axis counts once."""
    held = np.bincount(slices.channel_S, minlength=group.num_channels)
    axis, indices = weight.held(slices)
    return GroupAxis(
        layer=weight.layer,
        axis=axis,
        indices=indices,
        is_even=bool((held == held[0]).all()),
    )


def _stages(layers: tuple[LayerInfo, ...]) -> dict[str, int]:
    """Return the stage of every layer; one outside the stages belongs to the one before."""
    found: dict[str, int] = {}
    for layer in layers:
        before = max(found.values(), default=0)
        found[layer.name] = before if layer.stage is None else layer.stage
    return found


def _is_counted(graph: Graph) -> bool:
    """Whether every multiplication is by the weight of a layer that a file counts."""
    return all(
        _is_by_weight(node, graph)
        for node in graph.nodes
        if node.op in _WITH_WEIGHTS and node.op != "Gather"
    )


def _is_by_weight(node: Node, graph: Graph) -> bool:
    weight = graph.tensors.get(node.inputs[1])
    is_layer = node.op not in _LINEAR or (weight is not None and weight.ndim == _MATRIX)
    return weight is not None and is_layer and node.op != "RNN"
