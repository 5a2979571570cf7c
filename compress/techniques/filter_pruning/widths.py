"""Decide how many channels of every group stay, where no weight has a say. Torch-free.

Every strategy maps an amount from 0 upwards to counts, and a larger amount never keeps more, so a
target of multiply-accumulates, parameters or bytes can be met by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from compress.techniques.filter_pruning.config import FilterPruning, Scope

MOST = 0.95
"""The largest ratio of a stage."""


class Sized(Protocol):
    """A group of channels, of which only numbers count here."""

    @property
    def root(self) -> str:
        """Return its name."""
        ...

    @property
    def stage(self) -> int:
        """Return the first stage that its channels exist in."""
        ...

    @property
    def num_channels(self) -> int:
        """Return how many channels it has now."""
        ...

    @property
    def sections(self) -> int:
        """Return in how many sections channels leave alike."""
        ...

    @property
    def width(self) -> int:
        """Return how many outputs of a layer one channel is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shrinking:
    """A group, and how many channels it had at the start."""

    group: Sized
    original: int

    def kept(self, ratio: float, *, round_to: int) -> int:
        """Return how many channels stay, never more than there are now."""
        wanted = kept(self.original, ratio=ratio, round_to=self.multiple(round_to))
        return min(self.group.num_channels, wanted)

    def multiple(self, round_to: int) -> int:
        """Return the multiple to round to, in what leaves as a whole: a head is many channels."""
        wide = round_to // math.gcd(round_to, self.group.width)
        return math.lcm(wide, self.group.sections)


Counts = dict[str, int]
"""Channels that stay, keyed by the roots of the groups."""


def kept(num_channels: int, *, ratio: float, round_to: int) -> int:
    """Return how many channels stay: rounded up to a multiple, never more than there are."""
    removed = math.floor(num_channels * ratio + 1e-9)
    remaining = max(1, num_channels - removed)
    return min(num_channels, math.ceil(remaining / round_to) * round_to)


def largest_amount(config: FilterPruning) -> float:
    """Return the amount at which every group is as narrow as it may become."""
    smallest = min((ratio for ratio in config.ratios if ratio > 0), default=1.0)
    return MOST / smallest if config.scope == "stage" else 1.0


def by_stage(groups: Sequence[Shrinking], config: FilterPruning, amount: float) -> Counts:
    """Remove ``amount`` times its own ratio from every stage."""
    return {
        one.group.root: one.kept(
            min(MOST, amount * config.ratios[one.group.stage]), round_to=config.round_to
        )
        for one in groups
    }


def uniform(groups: Sequence[Shrinking], config: FilterPruning, amount: float) -> Counts:
    """Remove the same share from every group."""
    return {one.group.root: one.kept(amount, round_to=config.round_to) for one in groups}


def same_number(groups: Sequence[Shrinking], config: FilterPruning, amount: float) -> Counts:
    """Remove the same number from every group; a group that is too narrow keeps one channel.

    The number is the smallest that removes the share ``amount`` of all channels.
    """
    sizes = [one.original for one in groups]
    wanted = math.floor(amount * sum(sizes) + 1e-9)
    enough = (n for n in range(max(sizes)) if sum(min(n, size - 1) for size in sizes) >= wanted)
    number = next(enough, max(sizes))
    return {
        one.group.root: one.kept(min(1.0, number / one.original), round_to=config.round_to)
        for one in groups
    }


BY_SCOPE: Mapping[Scope, Callable[[Sequence[Shrinking], FilterPruning, float], Counts]] = {
    "stage": by_stage,
    "uniform": uniform,
    "same_number": same_number,
}
"""The scopes of which the counts follow from sizes alone."""
