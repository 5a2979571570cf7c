"""Put the most important channels of a network first, where it then answers the same.

Legend: O channels of a group, S slices of a tensor that belong to them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from compress.network.network import Network
from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup, Kind, Member
from compress.network.structure.channels import Importance


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
    for group in channels.groups(network):
        if not _can_be_ordered(group) or not may_move(group):
            continue
        order_O = torch.argsort(importance(group), descending=True, stable=True)
        for member in group.members:
            _reorder_(module, member.layer, _moves(member, order_O), member.kind)
    return replace(network, module=module)


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


def _reorder_(module: nn.Module, name: str, moves: tuple[Tensor, Tensor], kind: Kind) -> None:
    """Move slices of the layer of that name, in place; ``moves`` are targets and sources."""
    part = module.get_submodule(name)
    axis = 1 if kind == "reader" else 0
    tensors = [part.get_parameter("weight")] if axis else [*part.parameters(), *part.buffers()]
    with torch.no_grad():
        for tensor in (one for one in tensors if one.ndim):
            order = torch.arange(tensor.shape[axis])
            order[moves[0]] = moves[1]
            tensor.copy_(tensor.index_select(axis, order.to(tensor.device)))
