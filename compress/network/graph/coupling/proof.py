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
OTHERWISE = "the network answers otherwise, or not, when they leave"
"""Why the channels of a group stay that do not leave as they should."""
UNTRIED = "that they may leave would take too long to show"
_SHARE = 0.4
_TOLERANCE = 1e-4


def draw(couplings: Couplings, random: np.random.Generator, *, share: float = _SHARE) -> Draw:
    """Choose about this share of every group at random; whatever must keep one keeps one."""
    return {group.root: _chosen(group, random, share) for group in couplings.groups}


def prove(
    graph: Graph,
    shapes: Shapes,
    couplings: Couplings,
    answer: Answer,
    *,
    seed: int,
    most_trials: int | None = None,
) -> Couplings:
    """Return the couplings without the groups whose channels do not leave as they should.

    Exact groups must leave the answers as they are with zeroed readers, all others must run. One
    trial of two or three runs is enough if all do; else halves are tried, and halves of those that
    do not hold. Groups that ``most_trials`` leave untried stay, too: which these are follows from
    the graph and the seed, not from how fast the machine is.
    """
    trial = _Trial(graph, shapes, couplings, answer, most_trials)
    gone = draw(couplings, np.random.default_rng(seed))
    right = _sifted({}, gone, trial)
    if len(right) == len(gone):
        return couplings
    untried = trial.untried.difference(right)
    wrong = set(gone).difference(right, untried)
    return without(without(couplings, wrong, OTHERWISE), untried, UNTRIED)


def _sifted(right: Draw, asked: Draw, trial: _Trial) -> Draw:
    """Return what may leave: what is known to, and what of the others does together with it."""
    if not asked or trial.holds({**right, **asked}):
        return {**right, **asked}
    if len(asked) == 1:
        return right
    roots = list(asked)
    for half in (roots[: len(roots) // 2], roots[len(roots) // 2 :]):
        right = _sifted(right, {root: asked[root] for root in half}, trial)
    return right


class _Trial:
    """A graph whose channels leave, as drawn, and are compared.

    ``untried`` are the roots that nothing could be said of any more.
    """

    def __init__(
        self,
        graph: Graph,
        shapes: Shapes,
        couplings: Couplings,
        answer: Answer,
        most: int | None,
    ) -> None:
        self._graph, self._shapes = graph, shapes
        self._couplings, self._answer = couplings, answer
        self._exact = {group.root for group in couplings.groups if group.exact}
        self._left = most
        self.untried: set[str] = set()

    def holds(self, gone: Draw) -> bool:
        """Whether the graph runs without these, and answers as it should without the exact ones."""
        if self._left == 0:
            self.untried.update(gone)
            return False
        self._left = None if self._left is None else self._left - 1
        return self._holds(gone)

    def _holds(self, gone: Draw) -> bool:
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
    return all(_is_close(a, b, atol=_TOLERANCE * _spread(a)) for a, b in pairs)


def _is_close(ours: Array, theirs: Array, *, atol: float) -> bool:
    """Whether numbers are close; what is none has to be none in both."""
    return np.allclose(ours, theirs, rtol=0, atol=atol, equal_nan=True)


def _spread(values: Array) -> float:
    """Return the largest finite answer, or a least number where all are zero."""
    finite = values[np.isfinite(values)]
    return max(float(np.abs(finite).max(initial=0)), 1e-6)
