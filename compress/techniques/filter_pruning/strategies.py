"""Decide how many channels of every group stay when a certain amount is removed.

Every strategy maps an amount from 0 upwards to counts, and a larger amount never keeps more, so a
target of multiply-accumulates, parameters or bytes can be met by bisection.

Legend: U units of a group: channels that leave all its sections together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup
from compress.techniques.filter_pruning.config import FilterPruning

MOST = 0.95
"""The largest ratio of a stage."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A group with the importance of its channels; ``original`` is their number at the start."""

    group: ChannelGroup
    importance_O: Tensor
    original: int

    def kept(self, ratio: float, *, round_to: int) -> int:
        """Return how many channels stay, never more than there are now."""
        multiple = self.multiple(round_to)
        wanted = kept(self.original, ratio=ratio, round_to=multiple)
        return min(self.group.num_channels, wanted)

    def multiple(self, round_to: int) -> int:
        """Return the multiple to round to, in what leaves as a whole: a head is many channels."""
        wide = round_to // math.gcd(round_to, self.group.width)
        return math.lcm(wide, self.group.sections)


Counts = dict[str, int]
"""Channels that stay, keyed by the roots of the groups."""
Strategy = Callable[[Sequence[Ranked], FilterPruning, float], Counts]


def counts(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Return the channels that stay by the config's scope, up to ``largest_amount``."""
    return _STRATEGIES[config.scope](ranked, config, amount)


def largest_amount(config: FilterPruning) -> float:
    """Return the amount at which every group is as narrow as it may become."""
    smallest = min((ratio for ratio in config.ratios if ratio > 0), default=1.0)
    return MOST / smallest if config.scope == "stage" else 1.0


def kept(num_channels: int, *, ratio: float, round_to: int) -> int:
    """Return how many channels stay: rounded up to a multiple, never more than there are."""
    removed = math.floor(num_channels * ratio + 1e-9)
    remaining = max(1, num_channels - removed)
    return min(num_channels, math.ceil(remaining / round_to) * round_to)


def by_stage(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Remove ``amount`` times its own ratio from every stage."""
    return {
        one.group.root: one.kept(
            min(MOST, amount * config.ratios[one.group.stage]), round_to=config.round_to
        )
        for one in ranked
    }


def uniform(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Remove the same share from every group."""
    return {one.group.root: one.kept(amount, round_to=config.round_to) for one in ranked}


def same_number(ranked: Sequence[Ranked], config: FilterPruning, amount: float) -> Counts:
    """Remove the same number from every group; a group that is too narrow keeps one channel.

    The number is the smallest that removes the share ``amount`` of all channels.
    """
    sizes = [one.original for one in ranked]
    wanted = math.floor(amount * sum(sizes) + 1e-9)
    enough = (n for n in range(max(sizes)) if sum(min(n, size - 1) for size in sizes) >= wanted)
    number = next(enough, max(sizes))
    return {
        one.group.root: one.kept(min(1.0, number / one.original), round_to=config.round_to)
        for one in ranked
    }


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


_STRATEGIES: Mapping[str, Strategy] = {
    "stage": by_stage,
    "uniform": uniform,
    "same_number": same_number,
    "global": globally,
}
