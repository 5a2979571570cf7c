"""Remove whole channels, with one ratio per stage.

A stage's ratio holds for its residual stream and for the channels inside each of its blocks, so a
ratio of one half leaves about a quarter of the stage's weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from compress import channels
from compress.channels import ChannelGroup
from compress.errors import InvalidCandidate
from compress.model import Network
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.filter_pruning.importance import group_norm


def apply(network: Network, config: FilterPruning) -> tuple[Network, tuple[str, ...]]:
    """A pruned copy and notes about ratios that removed nothing.

    Raises InvalidCandidate unless there is one ratio per stage.
    """
    stages = channels.num_stages(network)
    if len(config.ratios) != stages:
        raise InvalidCandidate(
            f"filter_pruning needs one ratio per stage: {stages}, got {len(config.ratios)}"
        )
    groups = channels.groups(network)
    counts = {group.root: _count(group, config) for group in groups}
    notes = _notes(groups, counts, config)
    if all(counts[group.root] == group.num_channels for group in groups):
        return network, notes
    return channels.keep(network, counts, partial(group_norm, norm=config.importance)), notes


def kept(num_channels: int, *, ratio: float, round_to: int) -> int:
    """How many of the channels stay: rounded up to a multiple, never more than there are."""
    removed = math.floor(num_channels * ratio + 1e-9)
    remaining = max(1, num_channels - removed)
    return min(num_channels, math.ceil(remaining / round_to) * round_to)


def _count(group: ChannelGroup, config: FilterPruning) -> int:
    ratio = config.ratios[group.stage]
    return kept(group.num_channels, ratio=ratio, round_to=config.round_to)


def _notes(
    groups: list[ChannelGroup], counts: Mapping[str, int], config: FilterPruning
) -> tuple[str, ...]:
    if not config.has_effect:
        return ("filter_pruning: every ratio is 0, nothing was removed",)
    shrunk = {group.stage for group in groups if counts[group.root] < group.num_channels}
    return tuple(
        f"filter_pruning: ratio {ratio:g} of stage {stage + 1} removed nothing, its channels are "
        f"rounded up to multiples of {config.round_to}"
        for stage, ratio in enumerate(config.ratios)
        if ratio > 0 and stage not in shrunk
    )
