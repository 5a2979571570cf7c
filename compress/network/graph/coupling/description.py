"""The groups of a graph in words: whose channels may leave, and what they hold. Torch-free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
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
_MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_IN_FILES = frozenset({"Conv", "Gemm", "MatMul"})
_COUNTING = _MULTIPLYING | {"GRU", "Gather", "LSTM", "RNN"}


@dataclass(frozen=True, kw_only=True)
class _Weight:
    """A constant as the weight of a layer; linear layers may have its axes the other way round."""

    layer: str
    is_flipped: bool


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
        for name, is_flipped in _own_weights(node, graph):
            found[name].append(_Weight(layer=names[node.name], is_flipped=is_flipped))
    return found


def _own_weights(node: Node, graph: Graph) -> Iterator[tuple[str, bool]]:
    if node.op not in _MULTIPLYING:
        return
    for name, role in zip(node.inputs, roles(node), strict=True):
        if name in graph.tensors and role.kind == "weight":
            is_linear = node.op in {"Gemm", "MatMul"}
            yield name, is_linear and role.out_axis in {1, -1}


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
    return GroupAxis(
        layer=weight.layer,
        axis=1 - slices.axis if weight.is_flipped else slices.axis,
        indices=len(slices.slice_S) // slices.sections,
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
    multiplying = [node for node in graph.nodes if node.op in _COUNTING]
    return all(node.op in _IN_FILES and node.inputs[1] in graph.tensors for node in multiplying)
