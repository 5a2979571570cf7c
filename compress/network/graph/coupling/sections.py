"""Channels that leave every section of a grouped convolution or norm alike.

Each section must keep as many as the next, so channels at the same place of each are one unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.network.graph.coupling.axes import LabelledAxes, Making
from compress.network.graph.coupling.union_find import LabelArray, UnionFind


@dataclass(frozen=True, kw_only=True)
class MadeChannels:
    """Channels ``labels_O`` that the same layers make, in the order of the first."""

    makings: tuple[Making, ...]
    labels_O: LabelArray


def by_makers(labels: LabelledAxes) -> list[MadeChannels]:
    """Return the channels that may leave, by the layers that make them."""
    makers: dict[int, list[int]] = {}
    for number, making in enumerate(labels.makings):
        free = labels.sets.is_free(making.labels_C)
        for root in dict.fromkeys(labels.sets.roots(making.labels_C)[free].tolist()):
            makers.setdefault(root, []).append(number)
    together: dict[tuple[int, ...], list[int]] = {}
    for root, numbers in makers.items():
        together.setdefault(tuple(numbers), []).append(root)
    return [
        MadeChannels(
            makings=tuple(labels.makings[number] for number in numbers),
            labels_O=np.array(roots, np.int64),
        )
        for numbers, roots in sorted(together.items())
    ]


def settle(labels: LabelledAxes) -> None:
    """Hold what is tied to what stays, and make one what is tied across groups or unevenly."""
    _hold_tied(labels)
    while True:
        made = by_makers(labels)
        units = units_of(labels)
        uneven = [one.labels_O for one in made if num_sections(units, one.labels_O) == 0]
        crossing = _crossing(units, made)
        bad = np.unique(np.concatenate([units.roots(one) for one in uneven] + [crossing]))
        if not _join(labels, units, bad):
            return


def units_of(labels: LabelledAxes) -> UnionFind:
    """Return the sets of channels that leave together for the sake of sections."""
    units = UnionFind()
    units.fresh(labels.sets.size - 1)
    for one, other in labels.ties:
        units.join(labels.sets.roots(one), labels.sets.roots(other), "")
    return units


def num_sections(units: UnionFind, labels_O: LabelArray) -> int:
    """Return into how many equal sections these channels fall, 0 if they fall otherwise."""
    unit_O = units.roots(labels_O)
    count = len(np.unique(unit_O))
    if len(unit_O) % count:
        return 0
    by_section = unit_O.reshape(-1, count)
    return len(by_section) if (by_section == by_section[0]).all() else 0


def _hold_tied(labels: LabelledAxes) -> None:
    """Hold channels whose like in another section are held, until none is left."""
    changed = True
    while changed:
        changed = False
        for one, other in labels.ties:
            free, free_other = labels.sets.is_free(one), labels.sets.is_free(other)
            odd = free != free_other
            if odd.any():
                labels.hold([one[odd], other[odd]], "channels of other sections stay")
                changed = True


def _crossing(units: UnionFind, made: list[MadeChannels]) -> LabelArray:
    """Return the units that lie in several groups."""
    each = [np.unique(units.roots(one.labels_O)) for one in made]
    found, counts = np.unique(np.concatenate([*each, np.zeros(0, np.int64)]), return_counts=True)
    return found[counts > 1]


def _join(labels: LabelledAxes, units: UnionFind, bad: LabelArray) -> bool:
    """Make the channels of these units one each; whether that changed anything."""
    changed = False
    for one, other in labels.ties:
        one, other = labels.sets.roots(one), labels.sets.roots(other)
        chosen = np.isin(units.roots(one), bad) & (one != other)
        if chosen.any():
            labels.sets.join(one[chosen], other[chosen], "sections share them with what stays")
            changed = True
    return changed
