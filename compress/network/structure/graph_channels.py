"""The groups of channels of a network, as its torch layers hold them.

They are found on the graph (``graph.coupling``); here every slice of a constant finds the parameter
of the layer that holds it.

Legend: D directions, G gates, H hidden units, I inputs of a recurrent layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from compress.network import layers
from compress.network.graph.coupling.axes import Part
from compress.network.graph.coupling.description import reasons
from compress.network.graph.coupling.groups import CoupledGroup, HeldSlices
from compress.network.graph.values import Node
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.site import Operator
from compress.network.graph.view.operators.transposed import TransposedConvolution
from compress.network.network import Network
from compress.network.running.weight_views import find_view
from compress.network.structure import coupled_graph
from compress.network.structure.channel_groups import ChannelGroup, Channels, Kind, Member
from compress.network.structure.coupled_graph import CoupledGraph

_KINDS: Mapping[Part, Kind] = {
    "filter": "filter",
    "depthwise": "depthwise",
    "batchnorm": "batchnorm",
    "reader": "reader",
    "other": "other",
}


@runtime_checkable
class Staged(Protocol):
    """A network that knows its stages."""

    def stage_of(self, module_name: str) -> int | None:
        """Return the stage that a module belongs to; None if it belongs to none."""
        ...


def find(network: Network) -> Channels:
    """Return the groups that may lose channels, except those of the logits and the input.

    A group that spans several stages belongs to the first. If the network has no stages of its own,
    layers of the same resolution are a stage. Raises InvalidCandidate for a module that is no
    graph, or runs a layer twice.
    """
    module, resolutions = network.module, layers.resolutions(network)
    whole = coupled_graph.coupled(network)
    setting = {name: size for name, size in resolutions.items() if _sets_stage(module, name)}
    own = _own_stages(module, setting) if isinstance(module, Staged) else _resolutions(setting)
    stages = _stages(whole, own)
    holders = _holders(whole)
    groups = tuple(_group(module, each, holders, stages) for each in whole.couplings.groups)
    num_stages = max(stages.values(), default=0) + 1
    return Channels(
        groups=groups, fixed=reasons(whole.couplings), num_stages=num_stages, graph=whole
    )


def _sets_stage(module: nn.Module, layer: str) -> bool:
    view = find_view(module.get_submodule(layer))
    return view is not None and view.sets_stage


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """A node that has a constant as its input number ``place``, and the layer it stands for."""

    node: Node
    place: int
    layer: str


def _holders(whole: CoupledGraph) -> Mapping[str, list[_Holder]]:
    """Return the nodes that hold each constant."""
    found: defaultdict[str, list[_Holder]] = defaultdict(list)
    for node in whole.graph.nodes:
        for place, name in enumerate(node.inputs):
            if name in whole.graph.tensors:
                layer = whole.layers[node.name]
                found[name].append(_Holder(node=node, place=place, layer=layer))
    return found


def _group(
    module: nn.Module,
    coupled: CoupledGroup,
    holders: Mapping[str, list[_Holder]],
    stages: Mapping[str, int],
) -> ChannelGroup:
    members = [
        member
        for held in coupled.slices
        for holder in holders.get(held.tensor, ())
        for member in _members(module, holder, held)
    ]
    makers = [member.layer for member in members if member.kind == "filter"]
    return ChannelGroup(
        root=coupled.root,
        stage=min((stages[layer] for layer in makers), default=0),
        num_channels=coupled.num_channels,
        members=tuple(members),
        sections=coupled.sections,
        exact=coupled.exact,
        unit=coupled.unit,
        subsets=tuple(torch.tensor(subset) for subset in coupled.subsets),
        width=coupled.width,
    )


def _members(module: nn.Module, holder: _Holder, held: HeldSlices) -> Iterator[Member]:
    """Yield what a layer holds of a constant: of its weights, not of biases and statistics."""
    part = module.get_submodule(holder.layer)
    if isinstance(part, Recurrent):
        yield from _of_recurrent(part, holder, held)
        return
    name = _weight_name(part, holder)
    if name is None or _is_bias(part.get_parameter(name), holder, held):
        return
    if isinstance(part, TransposedConvolution):
        held, axis = _turned(part, held)
    else:
        is_product = isinstance(part, nn.Linear) and holder.node.op == "MatMul"
        is_flipped = is_product or isinstance(part, EmbeddingTable)
        axis = 1 - held.axis if is_flipped else held.axis
    yield _member(part, name, holder.layer, held, axis)


def _member(part: nn.Module, name: str, layer: str, held: HeldSlices, axis: int) -> Member:
    weight = part.get_parameter(name)
    return Member(
        layer=layer,
        kind=_KINDS[held.part],
        weight=weight.detach() if weight.requires_grad else None,
        tensor=f"{layer}.{name}",
        channel_S=torch.from_numpy(held.channel_S),
        slice_S=torch.from_numpy(held.slice_S),
        sections=held.sections,
        axis=axis,
    )


def _weight_name(part: nn.Module, holder: _Holder) -> str | None:
    """Return the parameter in which a layer holds an input of its node, if it is a weight."""
    match part:
        case Operator():
            given = [place for place, name in enumerate(holder.node.inputs) if name]
            name = dict(zip(given, part.places, strict=False)).get(holder.place)
            return name if name in dict(part.named_parameters()) else None
        case nn.Embedding() | EmbeddingTable():
            return "weight" if holder.place == 0 else None
        case _:
            has_one = isinstance(getattr(part, "weight", None), Tensor)
            return "weight" if holder.place == 1 and has_one else None


def _turned(part: TransposedConvolution, held: HeldSlices) -> tuple[HeldSlices, int]:
    """Return slices of ``(I, O / groups, ...)`` as those of ``(O, I / groups, ...)``."""
    if held.part != "depthwise":
        axis = 1 - held.axis
        return replace(held, sections=part.groups if axis == 1 else 1), axis
    # Every input has the outputs that follow one another, one or several.
    each = len(part.weight) // part.groups
    slice_S = held.slice_S[:, None] * each + np.arange(each)
    channel_S = np.repeat(held.channel_S, each)
    return replace(held, slice_S=slice_S.ravel(), channel_S=channel_S), 0


def _is_bias(tensor: Tensor, holder: _Holder, held: HeldSlices) -> bool:
    """Whether it is added to channels and nothing else; such numbers count in no importance."""
    is_added = holder.node.op == "Add" and tensor.numel() == tensor.shape[held.axis]
    return held.part == "bias" or is_added


def _of_recurrent(part: Recurrent, holder: _Holder, held: HeldSlices) -> Iterator[Member]:
    """Yield the rows of ``W`` with ``R`` beside it, ``(D G H, I + H)``, and the columns of each."""
    if (holder.place, held.axis) == (1, 1):
        starts_D1 = np.arange(part.directions)[:, None] * (len(part.weight) // part.directions)
        rows = replace(
            held,
            slice_S=(held.slice_S + starts_D1).ravel(),
            channel_S=np.tile(held.channel_S, part.directions),
        )
        yield _member(part, "weight", holder.layer, rows, 0)
    if holder.place in (1, 2) and held.axis == 2:
        first = part.input_size if holder.place == 2 else 0
        columns = replace(held, slice_S=held.slice_S + first)
        yield _member(part, "weight", holder.layer, columns, 1)


def _own_stages(module: Staged, resolutions: Mapping[str, int]) -> dict[str, int]:
    """Return the stages that a network gives its weighted layers; the stem is of the first."""
    stage, found = 0, dict[str, int]()
    for name in resolutions:
        own = module.stage_of(name)
        stage = stage if own is None else max(stage, own)
        found[name] = stage if own is None else own
    return found


def _resolutions(found: Mapping[str, int]) -> dict[str, int]:
    """Return a stage for every resolution, in the order in which the network meets them."""
    resolutions = list(dict.fromkeys(found.values()))
    return {name: resolutions.index(size) for name, size in found.items()}


def _stages(whole: CoupledGraph, weighted: Mapping[str, int]) -> dict[str, int]:
    """Return the stage of every layer; one without its own belongs to that of the layer before."""
    stage, found = 0, dict[str, int]()
    for node in whole.graph.nodes:
        layer = whole.layers[node.name]
        stage = weighted.get(layer, stage)
        found[layer] = stage
    return found
