"""Find the channels that must be removed together, and remove them, in any traceable network.

The dependency graph is torch-pruning's (Fang et al., DepGraph, arXiv:2301.12900). Techniques decide
what is important and what stays; the slicing is done here, once for all groups. Every removal is
tried out before it is believed: forward, backward and output shape.

Legend: O channels of a group, S slices of a tensor that belong to them, I everything else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from compress.network.graph.view.module import GraphModule
from compress.network.network import Network
from compress.network.running import foreign
from compress.network.structure import coupled_graph, dependencies, graph_channels, removal
from compress.network.structure.channel_groups import ChannelGroup, Channels, Kind, Member
from compress.values.errors import InvalidCandidate

_DRY_RUN_BATCH = 2


@runtime_checkable
class Staged(Protocol):
    """A network that knows its stages."""

    @property
    def num_stages(self) -> int:
        """Return the number of stages."""
        ...

    def stage_of(self, module_name: str) -> int | None:
        """Return the stage that a module belongs to; None if it belongs to none."""
        ...


Importance = Callable[[ChannelGroup], Tensor]
"""Importance of every channel of a group, ``(num_channels,)``."""


def find(network: Network) -> Channels:
    """Find all groups that may lose channels, except those of the logits and the input.

    A group that spans several stages belongs to the first. If the network has no stages of its own,
    layers of the same resolution are a stage.

    Raises InvalidCandidate if the network cannot be traced or a layer runs twice.
    """
    if isinstance(network.module, GraphModule):
        positions = dependencies.output_positions(network)
        return graph_channels.find(network.module, positions)
    trace = dependencies.trace(network)
    stages = _stages(network.module, trace)
    found: list[ChannelGroup] = []
    fixed: dict[str, str] = {}
    for coupling in trace.couplings:
        try:
            found.append(_channel_group(network.module, coupling, stages))
        except removal.Untouchable as reason:
            fixed[coupling.root] = str(reason)
    return Channels(groups=tuple(found), fixed=fixed, num_stages=max(stages.values()) + 1)


def groups(network: Network) -> list[ChannelGroup]:
    """Return all groups that may lose channels; see ``find``."""
    return list(find(network).groups)


def keep(network: Network, counts: Mapping[str, int], importance: Importance) -> Network:
    """Return a copy in which each group named by its root keeps its most important channels.

    ``counts`` says how many, from 1 to all; a group that it does not name keeps all. Raises
    InvalidCandidate if the smaller network does not run.
    """
    found = find(network)
    removed = {
        group.root: least_important(group, importance(group), counts[group.root])
        for group in found.groups
        if counts.get(group.root, group.num_channels) < group.num_channels
    }
    return remove(network, found, removed)


def any_group(group: ChannelGroup) -> bool:
    """Choose every group."""
    return True


def ordered(
    network: Network,
    importance: Importance,
    *,
    may_move: Callable[[ChannelGroup], bool] = any_group,
) -> Network:
    """Return a copy that answers the same, with the most important channels of every group first.

    Groups whose layers hold only some of their channels, or split them, stay as they are, and so
    do those that ``may_move`` leaves out.
    """
    module = copy.deepcopy(network.module)
    for group in groups(network):
        if not _can_be_ordered(group) or not may_move(group):
            continue
        order_O = torch.argsort(importance(group), descending=True, stable=True)
        for member in group.members:
            removal.reorder_(module, member.layer, _moves(member, order_O), member.kind)
    return replace(network, module=module)


def least_important(group: ChannelGroup, importance_O: Tensor, count: int) -> Tensor:
    """Return the channels to remove so that ``count`` stay, in order.

    Every layer keeps one, even if more than ``count`` stay for that.
    """
    per_unit_U = by_unit(group, importance_O).clone()
    for channel_S in (*(member.channel_S for member in group.members), *group.subsets):
        unit_S = channel_S % len(per_unit_U)
        if len(channel_S) < group.num_channels:
            per_unit_U[unit_S[per_unit_U[unit_S].argmax()]] = torch.inf
    order_U = torch.argsort(per_unit_U, descending=True, stable=True)
    unit_R = order_U[max(count // group.sections, int(per_unit_U.isposinf().sum())) :]
    start_S1 = torch.arange(group.sections)[:, None] * len(per_unit_U)
    return (start_S1 + unit_R).flatten().sort().values


def by_unit(group: ChannelGroup, importance_O: Tensor) -> Tensor:
    """Return mean importances ``(O / sections,)`` of channels that leave all sections together."""
    return importance_O.reshape(group.sections, -1).mean(0)


def remove(network: Network, found: Channels, removed: Mapping[str, Tensor]) -> Network:
    """Return a copy without some channels of the groups, named by their roots, and try it out.

    Raises InvalidCandidate, naming the groups at fault, if the smaller network does not run.
    """
    smaller = without(network, found, removed)
    problem = _problem(smaller)
    if problem is None:
        return smaller
    guilty = [
        root
        for root, channel_R in removed.items()
        if _problem(without(network, found, {root: channel_R})) is not None
    ]
    raise InvalidCandidate(
        f"the network does not run without the channels removed: {problem}. Channels of these "
        f"layers cannot leave, name them in exclude: {guilty or list(removed)}"
    )


def without(network: Network, found: Channels, removed: Mapping[str, Tensor]) -> Network:
    """Return a copy without some channels, not tried out yet."""
    if found.graph is not None:
        return coupled_graph.without(network, found.graph, removed)
    cuts: dict[str, removal.Cut] = {}
    for group in found.groups:
        channel_R = removed.get(group.root)
        if channel_R is None:
            continue
        for member in group.members:
            lost_S = member.slice_S[torch.isin(member.channel_S, channel_R)]
            cut = cuts.setdefault(member.layer, removal.Cut(axis=member.axis))
            (cut.inputs if member.kind == "reader" else cut.outputs).append(lost_S)
    module = copy.deepcopy(network.module)
    for name, cut in cuts.items():
        removal.narrow_(module, name, cut)
    return replace(network, module=module)


def num_stages(network: Network) -> int:
    """Return the number of stages of the network: its own, or those of ``find``."""
    module = network.module
    return module.num_stages if isinstance(module, Staged) else find(network).num_stages


def _can_be_ordered(group: ChannelGroup) -> bool:
    """Whether every layer holds each channel equally often."""
    held = [m.channel_S.bincount(minlength=group.num_channels).unique() for m in group.members]
    is_plain = all(member.kind != "other" for member in group.members)
    return group.sections == 1 and is_plain and all(len(times) == 1 for times in held)


def _moves(member: Member, order_O: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(to, from)``: slices of channel ``order_O[j]`` go to the places of channel ``j``."""
    by_channel_OS = member.slice_S[torch.argsort(member.channel_S, stable=True)].reshape(
        len(order_O), -1
    )
    return by_channel_OS.flatten(), by_channel_OS[order_O].flatten()


def _channel_group(
    module: nn.Module, coupling: dependencies.Coupling, stages: Mapping[str, int]
) -> ChannelGroup:
    if coupling.fixed is not None:
        raise removal.Untouchable(coupling.fixed)
    members = tuple(_member(module, item) for item in coupling.items)
    sections = removal.sections(module, coupling)
    return ChannelGroup(
        root=coupling.root,
        stage=min((stages[m.layer] for m in members if m.kind == "filter"), default=0),
        num_channels=coupling.num_channels,
        members=members,
        sections=sections,
    )


def _member(module: nn.Module, item: dependencies.CoupledLayer) -> Member:
    lone = item.parameter_axis is not None
    part = None if lone else module.get_submodule(item.name)
    tensor = item.name if lone else f"{item.name}.weight"
    weight = dict(module.named_parameters()).get(tensor)
    kind = removal.kind(part, item)
    if weight is not None:
        _check_slices(weight, item, kind, sections=getattr(part, "groups", 1))
    return Member(
        layer=item.name,
        kind=kind,
        weight=weight.detach() if weight is not None and weight.requires_grad else None,
        tensor=tensor,
        channel_S=torch.tensor(item.channels),
        slice_S=torch.tensor(item.slices),
        sections=getattr(part, "groups", 1) if kind == "reader" else 1,
        axis=1 if kind == "reader" else item.parameter_axis or 0,
    )


def _check_slices(
    weight: Tensor, item: dependencies.CoupledLayer, kind: Kind, *, sections: int
) -> None:
    """Raise Untouchable for slices that the weight does not have, because the tracer was wrong.

    The tracer guesses channels behind what it knows no rule for, such as a function of a bare
    parameter, or maps and rows concatenated.
    """
    if kind == "reader":
        size = weight.shape[1] * sections
    else:
        size = weight.shape[item.parameter_axis or 0]
    if not 0 <= min(item.slices) <= max(item.slices) < size:
        raise removal.Untouchable(
            f"the tracer gives {item.name} {max(item.slices) + 1} channels, it has {size}"
        )


def _stages(module: nn.Module, trace: dependencies.Trace) -> dict[str, int]:
    """Return the stage of every layer; a layer outside the stages belongs to the one before."""
    if not isinstance(module, Staged):
        resolutions = list(dict.fromkeys(trace.positions.values()))
        return {name: resolutions.index(size) for name, size in trace.positions.items()}
    stages: dict[str, int] = {}
    for name in trace.positions:
        own = module.stage_of(name)
        stages[name] = own if own is not None else max(stages.values(), default=0)
    return stages


def _problem(network: Network) -> str | None:
    """Say why the network does not run forward and backward; None if it does."""
    trial = copy.deepcopy(network.module).eval()
    try:
        with torch.enable_grad():
            logits_BK = trial(torch.zeros(_DRY_RUN_BATCH, *network.input_shape))
            logits_BK.sum().backward()
    except foreign.ERRORS as error:
        return str(error).splitlines()[0]
    expected = (_DRY_RUN_BATCH, network.num_classes)
    if logits_BK.shape != expected:
        return f"expected logits of shape {expected}, got {tuple(logits_BK.shape)}"
    return None
