"""Channels that leave together, and what they own of the layers of a torch network.

Legend: O channels of a group, S slices of a tensor that belong to them, I everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from compress.network.graph.coupling.axes import Unit
from compress.network.structure.coupled_graph import CoupledGraph

Kind = Literal["filter", "depthwise", "batchnorm", "other", "reader"]
"""What a layer is to its group: how its weight counts, and how it loses slices."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A layer that loses slices when its group loses channels.

    A ``filter`` produces the channels, a ``reader`` reads them; a ``depthwise`` convolution, a
    ``batchnorm`` and every ``other`` layer or parameter passes them on. Slice ``slice_S[i]`` of
    ``axis`` leaves with channel ``channel_S[i]``: a reader behind a flattening has many slices per
    channel, a layer behind a concatenation holds channels of several groups. With ``sections`` the
    axis counts the channels of all sections, of which the tensor holds one (the input channels of
    a grouped convolution); the other axis is split into as many.

    ``weight`` is None where nothing is trained; else ``tensor`` is its parameter's name.
    """

    layer: str
    kind: Kind
    weight: Tensor | None
    channel_S: Tensor
    slice_S: Tensor
    tensor: str = ""
    sections: int = 1
    axis: int = 0

    def slices(self, values: Tensor) -> Tensor:
        """Return ``(S, I)``: the group's part of a tensor of the weight's shape."""
        values = values.movedim(self.axis, 0)
        if self.sections > 1:
            values = _by_section(values, self.sections)
        return values.reshape(len(values), -1)[self.slice_S]

    def summed(self, values_S: Tensor, num_channels: int) -> Tensor:
        """Return ``(O,)``: a value per slice, added up over the slices of every channel."""
        return torch.zeros(num_channels).index_add_(0, self.channel_S, values_S.float())


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels of one stage that exist in several tensors at once.

    ``root`` names the first layer that produces them: the residual stream of a stage is one
    group, the channels inside each block are another. Channels leave all ``sections`` of a grouped
    convolution alike, so what stays is a multiple of ``sections``. When one of a group that is not
    ``exact`` leaves, a norm over the channels changes the others. Of each of ``subsets`` one
    channel at least must stay. A ``unit`` is a channel, a head of attention, or a hidden unit, and
    ``width`` says how many slices a layer holds of it at the least, as the size of a head.
    """

    root: str
    stage: int
    num_channels: int
    members: tuple[Member, ...]
    sections: int = 1
    exact: bool = True
    unit: Unit = "channel"
    subsets: tuple[Tensor, ...] = ()
    width: int = 1

    @property
    def at_its_least(self) -> ChannelGroup:
        """The group with one channel left in every section; it holds nothing that may leave."""
        return replace(self, num_channels=self.sections, members=(), subsets=())

    @property
    def trained(self) -> tuple[Member, ...]:
        """The members whose weights are trained, and may be used by an importance."""
        return tuple(member for member in self.members if member.weight is not None)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The groups of a network, in the order in which it runs their roots.

    ``fixed`` names the roots of groups that cannot lose channels, and says why. ``graph`` is
    what loses them.
    """

    groups: tuple[ChannelGroup, ...]
    fixed: Mapping[str, str]
    num_stages: int
    graph: CoupledGraph

    @cached_property
    def by_root(self) -> Mapping[str, ChannelGroup]:
        """Return the groups by the names of their roots."""
        return {group.root: group for group in self.groups}


def _by_section(values: Tensor, sections: int) -> Tensor:
    """Return ``(C, ...)`` of values ``(C / sections, O, ...)``: section by section of ``O``."""
    inner, outer = values.shape[:2]
    split = values.reshape(inner, sections, outer // sections, -1)
    return split.transpose(0, 1).reshape(sections * inner, -1)
