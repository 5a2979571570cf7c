"""Decide how many channels of every group stay, if need be by a ranking of all of them.

Legend: U units of a group: channels that leave all its sections together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup
from compress.techniques.filter_pruning import widths
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.filter_pruning.widths import Counts, Shrinking


@dataclass(frozen=True, kw_only=True)
class Ranked(Shrinking):
    """A group with the importance of its channels."""

    group: ChannelGroup
    importance_O: Tensor


def counts(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Return the channels that stay by the config's scope, up to ``widths.largest_amount``."""
    if config.scope == "global":
        return globally(ranked, config, amount)
    return widths.BY_SCOPE[config.scope](ranked, config, amount)


def globally(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Remove the share ``amount`` of all channels, the least important of all groups first.

    Every group keeps at least ``keep_at_least`` and one multiple of ``round_to``. Groups too
    coarse for the multiple lose fewer than the ranking says.
    """
    start = sum(one.original for one in ranked)
    now = sum(one.group.num_channels for one in ranked)
    leaving = math.floor(amount * start + 1e-9) - (start - now)
    owner_U, order_U, sections = _ranking(ranked, config)
    counts = {one.group.root: one.group.num_channels for one in ranked}
    for unit in order_U.tolist():
        if leaving <= 0:
            break
        index = int(owner_U[unit])
        counts[ranked[index].group.root] -= sections[index]
        leaving -= sections[index]
    return {one.group.root: _rounded_up(counts[one.group.root], one, config) for one in ranked}


def _ranking(
    ranked: Sequence[Ranked], config: FilterPruning
) -> tuple[Tensor, Tensor, Sequence[int]]:
    """Return the group of every removable unit, the order of removal, and the units' sizes."""
    scores: list[Tensor] = []
    owners: list[Tensor] = []
    for index, one in enumerate(ranked):
        score_U = channels.by_unit(one.group, one.importance_O)
        if config.normalisation == "mean":
            score_U = score_U / score_U.mean().clamp_min(torch.finfo().tiny)
        stay = _fewest(one, config) // one.group.sections
        score_U = score_U.sort(descending=True, stable=True).values[stay:].flip(0)
        scores.append(score_U)
        owners.append(torch.full_like(score_U, index, dtype=torch.int64))
    order_U = torch.argsort(torch.cat(scores), stable=True)
    return torch.cat(owners), order_U, [one.group.sections for one in ranked]


def _fewest(one: Ranked, config: FilterPruning) -> int:
    return one.kept(1.0 - config.keep_at_least, round_to=config.round_to)


def _rounded_up(count: int, one: Ranked, config: FilterPruning) -> int:
    multiple = one.multiple(config.round_to)
    return min(one.group.num_channels, math.ceil(count / multiple) * multiple)
