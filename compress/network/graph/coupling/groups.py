"""Channels that leave together, in groups by the layers that make them.

A channel is a set of labels. A group is all channels that the same layers make, so the residual
stream of a stage is one group, and what two layers lay side by side are two. Torch-free.

Legend: O channels of a group, S slices of a constant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compress.network.graph.coupling import sections
from compress.network.graph.coupling.axes import AxisLabels, LabelledAxes, Part, Unit
from compress.network.graph.coupling.sections import MadeChannels
from compress.network.graph.coupling.union_find import LabelArray, UnionFind

ALONE = "they can only leave all at once"
"""Why the last channel of a layer stays, and why channels that are one stay."""


@dataclass(frozen=True, kw_only=True)
class HeldSlices:
    """What a group holds of a constant: slice ``slice_S[i]`` is of channel ``channel_S[i]``.

    With ``sections`` the axis counts the channels of all sections, of which the constant holds one
    (the input channels of a grouped convolution).
    """

    tensor: str
    axis: int
    part: Part
    channel_S: NDArray[np.int64]
    slice_S: NDArray[np.int64]
    sections: int = 1


@dataclass(frozen=True, kw_only=True)
class CoupledGroup:
    """Channels that the same layers make; each leaves with all of its slices.

    ``root`` names the first layer that makes them. Channel ``i`` leaves with those at the same
    place of the other ``sections``. When one of a group that is not ``exact`` leaves, a norm over
    the channels changes the others. Of each of ``subsets`` one channel at least must stay.
    """

    root: str
    num_channels: int
    slices: tuple[HeldSlices, ...]
    sections: int = 1
    exact: bool = True
    unit: Unit = "channel"
    subsets: tuple[tuple[int, ...], ...] = ()

    @property
    def width(self) -> int:
        """Return how many slices of a weight one channel is at the least, as the size of a head."""
        weights = [held for held in self.slices if held.part != "bias"]
        each = [len(held.slice_S) // len(np.unique(held.channel_S)) for held in weights]
        return min(each, default=1)


@dataclass(frozen=True, kw_only=True)
class Couplings:
    """The groups of a graph, in the order in which it runs their roots.

    ``fixed`` names the layers whose channels all stay, and says why. ``axes`` number the channels
    along every axis of every tensor: those of a group follow one another from ``starts`` on; 0 is
    what stays. The axes are those of the graph with shuffles as Gathers.
    """

    groups: tuple[CoupledGroup, ...]
    fixed: Mapping[str, str]
    axes: Mapping[str, AxisLabels]
    starts: Mapping[str, int]


def collect(labels: LabelledAxes, names: Mapping[str, str]) -> Couplings:
    """Build the groups; ``names`` are those of the layers by their nodes."""
    sections.settle(labels)
    units = sections.units_of(labels)
    made = [one for one in sections.by_makers(labels) if _can_lose(units, one.labels_O)]
    roots = _roots(made, names)
    starts = np.cumsum([1, *(len(one.labels_O) for one in made)])
    axes = _numbered(labels, made)
    held, subsets = _held(labels, axes, starts), _subsets(axes, starts)
    groups = tuple(
        CoupledGroup(
            root=root,
            num_channels=len(one.labels_O),
            slices=tuple(held[number]),
            sections=sections.num_sections(units, one.labels_O),
            exact=not labels.sets.is_blurred(one.labels_O).any(),
            unit=_unit(labels, one),
            subsets=tuple(subsets[number]),
        )
        for number, (root, one) in enumerate(zip(roots, made, strict=True))
    )
    return Couplings(
        groups=groups,
        fixed=_fixed(labels, made, names),
        axes=axes,
        starts=dict(zip(roots, starts.tolist(), strict=False)),
    )


def without(couplings: Couplings, roots: Collection[str], reason: str) -> Couplings:
    """Return the couplings with the groups of these roots fixed, for that reason."""
    gone = [group for group in couplings.groups if group.root in roots]
    starts = {group.root: couplings.starts[group.root] for group in gone}
    numbers = [np.zeros(0, np.int64)]
    numbers += [np.arange(group.num_channels) + starts[group.root] for group in gone]
    staying = np.concatenate(numbers)
    axes = {
        name: tuple(np.where(np.isin(own, staying), 0, own) for own in each)
        for name, each in couplings.axes.items()
    }
    left = tuple(group for group in couplings.groups if group.root not in roots)
    fixed = {**couplings.fixed, **dict.fromkeys(starts, reason)}
    return replace(couplings, groups=left, fixed=fixed, axes=axes)


def without_each(couplings: Couplings, reasons: Mapping[str, str]) -> Couplings:
    """Return the couplings with the groups of these roots fixed, each for its reason."""
    for reason in dict.fromkeys(reasons.values()):
        roots = {root for root, why in reasons.items() if why == reason}
        couplings = without(couplings, roots, reason)
    return couplings


def _can_lose(units: UnionFind, labels_O: LabelArray) -> bool:
    """Whether one may leave and another stay."""
    return len(np.unique(units.roots(labels_O))) > 1


def _roots(made: Sequence[MadeChannels], names: Mapping[str, str]) -> list[str]:
    """Name every group by a layer that makes its channels and no others, else by the first."""
    taken: dict[str, None] = {}
    for one in made:
        makers = [names[making.node] for making in one.makings]
        whole = [
            name
            for name, making in zip(makers, one.makings, strict=True)
            if len(making.labels_C) == len(one.labels_O)
        ]
        numbered = (f"{makers[0]}:{number}" for number in range(1, len(made) + 1))
        taken[next(name for name in (*whole, *makers, *numbered) if name not in taken)] = None
    return list(taken)


def _numbered(labels: LabelledAxes, made: Sequence[MadeChannels]) -> dict[str, AxisLabels]:
    """Return the channels' numbers along every axis, those of a group one after the other."""
    by_label = np.zeros(labels.sets.size, np.int64)
    channels = np.concatenate([np.zeros(0, np.int64), *(one.labels_O for one in made)])
    by_label[channels] = np.arange(1, len(channels) + 1)
    by_label = by_label[labels.sets.roots(np.arange(labels.sets.size))]
    return {name: tuple(by_label[own] for own in each) for name, each in labels.all().items()}


def _held(
    labels: LabelledAxes, axes: Mapping[str, AxisLabels], starts: NDArray[np.int64]
) -> defaultdict[int, list[HeldSlices]]:
    """Return what every group holds of the constants."""
    held: defaultdict[int, list[HeldSlices]] = defaultdict(list)
    for (tensor, axis), part in labels.parts.items():
        own = axes[tensor][axis]
        place_S = np.flatnonzero(own)
        group_S = np.searchsorted(starts, own[place_S], side="right") - 1
        for group in np.unique(group_S).tolist():
            mine_S = place_S[group_S == group]
            held[group].append(
                HeldSlices(
                    tensor=tensor,
                    axis=axis,
                    part=part,
                    channel_S=own[mine_S] - starts[group],
                    slice_S=mine_S,
                    sections=labels.sections[tensor, axis],
                )
            )
    return held


def _subsets(
    axes: Mapping[str, AxisLabels], starts: NDArray[np.int64]
) -> defaultdict[int, list[tuple[int, ...]]]:
    """Return, for every group, the channels that some axis consists of."""
    found: defaultdict[int, dict[tuple[int, ...], None]] = defaultdict(dict)
    for own in (own for each in axes.values() for own in each):
        if len(own) == 0 or own.min() == 0:
            continue
        channels = np.unique(own)
        first, last = (np.searchsorted(starts, channels[[0, -1]], side="right") - 1).tolist()
        if first == last and len(channels) < starts[first + 1] - starts[first]:
            found[first][tuple((channels - starts[first]).tolist())] = None
    return defaultdict(list, {group: list(each) for group, each in found.items()})


def _unit(labels: LabelledAxes, made: MadeChannels) -> Unit:
    heads = np.concatenate([np.zeros(0, np.int64), *labels.heads])
    if np.isin(made.labels_O, labels.sets.roots(heads)).any():
        return "head"
    return made.makings[0].unit


def _fixed(
    labels: LabelledAxes, made: Sequence[MadeChannels], names: Mapping[str, str]
) -> dict[str, str]:
    """Return why no channel of a layer leaves, for those of which none does."""
    leaving = np.zeros(labels.sets.size, bool)
    for one in made:
        leaving[one.labels_O] = True
    loses = {
        making.node
        for making in labels.makings
        if leaving[labels.sets.roots(making.labels_C)].any()
    }
    found: dict[str, str] = {}
    for making in labels.makings:
        if making.node not in loses:
            reasons = labels.sets.reasons(making.labels_C) or [ALONE]
            found.setdefault(names[making.node], " and ".join(reasons))
    return found
