"""Find the channels that must be removed together, and remove them, in any network with a graph.

Techniques decide what is important and what stays. Every removal is tried out before it is
believed: forward, backward and output shape.

Legend: O channels of a group, U units of channels that leave all sections together, R removed ones,
S slices of a tensor that belong to channels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compress.network.network import Network
from compress.network.running import foreign
from compress.network.structure import coupled_graph, graph_channels
from compress.network.structure.channel_groups import ChannelGroup, Channels
from compress.values.errors import InvalidCandidate

_DRY_RUN_BATCH = 2
Importance = Callable[[ChannelGroup], Tensor]
"""Importance of every channel of a group, ``(num_channels,)``."""


def find(network: Network) -> Channels:
    """Find all groups that may lose channels; see ``graph_channels.find``."""
    return graph_channels.find(network)


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
    return coupled_graph.without(network, found.graph, removed)


def _problem(network: Network) -> str | None:
    """Say why the network does not run forward and backward; None if it does.

    An answer has numbers along its last axis that never leave, whatever axes lie before it.
    """
    trial = copy.deepcopy(network.module).eval()
    try:
        with torch.enable_grad():
            logits_BK = trial(torch.zeros(_DRY_RUN_BATCH, *network.input_shape))
            logits_BK.sum().backward()
    except foreign.ERRORS as error:
        return str(error).splitlines()[0]
    shape = tuple(logits_BK.shape)
    width = network.signature.width
    if (shape[0], shape[-1]) != (_DRY_RUN_BATCH, width):
        return f"expected answers of shape ({_DRY_RUN_BATCH}, ..., {width}), got {shape}"
    return None
