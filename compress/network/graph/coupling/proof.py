"""Whether channels really leave as their groups say: shown on random draws, or the group stays.

A graph in which everything that reads some channels is zeroed answers like the graph without them.
Both run in whatever the caller runs graphs in; nothing here does. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from compress.network.graph.coupling.groups import CoupledGroup, Couplings, without
from compress.network.graph.coupling.removal import remove, zeroed
from compress.network.graph.values import Array, Graph, Shapes
from compress.values.errors import CompressError

Draw: TypeAlias = dict[str, tuple[int, ...]]
"""The channels that leave, by the roots of their groups."""
Answer: TypeAlias = Callable[[Graph], Sequence[Array]]
"""Runs a graph on inputs that are always the same. Raises a CompressError if it does not run."""
_SHARE = 0.4
_TOLERANCE = 1e-4


def draw(couplings: Couplings, random: np.random.Generator, *, share: float = _SHARE) -> Draw:
    """Choose about this share of every group at random; whatever must keep one keeps one."""
    return {group.root: _chosen(group, random, share) for group in couplings.groups}


def prove(
    graph: Graph, shapes: Shapes, couplings: Couplings, answer: Answer, *, seed: int
) -> Couplings:
    """Return the couplings without the groups whose channels do not leave as they should.

    Exact groups must leave the answers as they are with zeroed readers, all others must run. It
    takes three runs if all do, and three per group else.
    """
    gone = draw(couplings, np.random.default_rng(seed))
    trial = _Trial(graph, shapes, couplings, answer)
    if trial.holds(gone):
        return couplings
    right: Draw = {}
    for root, channels in gone.items():
        if trial.holds({**right, root: channels}):
            right[root] = channels
    wrong = {root for root in gone if root not in right}
    return without(couplings, wrong, "the network answers otherwise, or not, when they leave")


class _Trial:
    """A graph whose channels leave, as drawn, and are compared."""

    def __init__(self, graph: Graph, shapes: Shapes, couplings: Couplings, answer: Answer) -> None:
        self._graph, self._shapes = graph, shapes
        self._couplings, self._answer = couplings, answer
        self._exact = {group.root for group in couplings.groups if group.exact}

    def holds(self, gone: Draw) -> bool:
        """Whether the graph runs without these, and answers as it should without the exact ones."""
        exact = {root: channels for root, channels in gone.items() if root in self._exact}
        try:
            whole = self._answer(zeroed(self._graph, self._couplings, exact))
            smaller = self._answer(self._without(exact))
            rest = smaller if len(exact) == len(gone) else self._answer(self._without(gone))
        except CompressError:
            return False
        return _alike(whole, smaller) and [one.shape for one in rest] == [w.shape for w in whole]

    def _without(self, gone: Draw) -> Graph:
        return remove(self._graph, self._shapes, self._couplings, gone)[0]


def _chosen(group: CoupledGroup, random: np.random.Generator, share: float) -> tuple[int, ...]:
    units = group.num_channels // group.sections
    order = random.permutation(units)
    stays = {int(unit) for unit in order[: max(1, units - round(share * units))]}
    for subset in group.subsets:
        if stays.isdisjoint(channel % units for channel in subset):
            stays.add(subset[0] % units)
    return tuple(i for i in range(group.num_channels) if i % units not in stays)


def _alike(ours: Sequence[Array], theirs: Sequence[Array]) -> bool:
    if [one.shape for one in ours] != [other.shape for other in theirs]:
        return False
    pairs = zip(ours, theirs, strict=True)
    return all(np.allclose(a, b, rtol=0, atol=_TOLERANCE * _spread(a)) for a, b in pairs)


def _spread(values: Array) -> float:
    """Return the largest answer, or a least number where all are zero."""
    return max(float(np.abs(values).max(initial=0)), 1e-6)
