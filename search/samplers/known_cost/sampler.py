"""Bayesian search by expected hypervolume improvement, with costs that are known in advance.

Most costs that compression trades against accuracy can be counted without training anything. A
sampler that is told these spends its trials on what is not known.

No state is kept between two proposals: the same seed and history give the same proposal, whichever
object is asked. A space that is small enough to be enumerated is cached with its costs in the
knowledge, from which it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.samplers import candidates, moves, stateless
from search.samplers.candidates import Absence, CandidatePool
from search.samplers.history import History
from search.samplers.known_cost import blas, design, fidelity, knowledge, model
from search.samplers.known_cost.knowledge import NOTHING, Facts, Knowledge
from search.samplers.known_cost.model import Axes, Model
from search.samplers.parameters import Parameter
from search.samplers.stateless import StatelessSampler

_PARENTS = 50
_ROUNDS = 4
"""Number of rounds in which the best candidates of a draw are changed to find better ones."""
_BEST = 5


class KnownCostSampler(StatelessSampler):
    """Proposes the point from which most hypervolume is expected.

    It handles one to three objectives, any of them known, any number of constraints, categorical,
    integer and real knobs, and knobs that only some trials have. Running trials count as if they
    had turned out as expected, so many workers may ask at once.
    """

    def __init__(
        self, *, seed: int, known: Knowledge = NOTHING, num_startup_trials: int = 10
    ) -> None:
        """Make a sampler.

        Args:
            seed: Determines every proposal together with the study's history.
            known: The space, exact costs and limits, and estimates.
            num_startup_trials: Number of trials before anything is learned, at least 1. Half of
                them must have values; the others may still run. Until then proposals are spread
                over the known costs and far from each other.
        """
        super().__init__(seed=seed, space=known.space)
        self._known = known
        self._startup = max(1, num_startup_trials)

    def propose(
        self, past: History, knobs: Sequence[Parameter], random: np.random.Generator
    ) -> dict[str, Any]:
        """Propose the point with the highest score.

        Raises ValueError for knowledge about objectives that the study does not have, or that does
        not give one finite number per candidate.
        """
        with blas.one_thread():
            return self._propose(past, knobs, random)

    def _propose(
        self, past: History, knobs: Sequence[Parameter], random: np.random.Generator
    ) -> dict[str, Any]:
        self._check(past.values.shape[1])
        desk = _Desk(
            knobs=knobs,
            rules=tuple(candidates.absences(past, knobs)),
            ask=partial(knowledge.facts, self._known, past.signs),
            signs=tuple(past.signs),
            random=random,
        )
        whole = self._whole_space(desk)
        pool, facts = whole or desk.drawn(past)
        told, running = desk.ask(past.told_params), desk.ask(past.running_params)
        axes = Axes.over(
            knobs,
            [facts, told, running],
            has_rungs=fidelity.has_rungs(past),
            explained=self._known.explained,
        )
        new = pool.untried(past.tried)
        new = _allowed(new if len(new) else np.arange(len(pool.codes)), facts)
        pool, facts = pool.at(new), facts.at(new)
        if self._is_starting(past):
            seen = np.concatenate([past.told, past.running]), knowledge.joined(told, running)
            return pool.params(design.farthest(axes, seen, (pool.codes, facts), random))
        learned = model.learn(past, axes, told, running)
        if whole is None:
            pool, facts = desk.bettered(pool, facts, learned, past)
        return pool.params(int(np.argmax(learned.score(pool.codes, facts))))

    def _is_starting(self, past: History) -> bool:
        begun = len(past.told) + len(past.running)
        return begun < self._startup or 2 * len(past.told) < self._startup

    def _whole_space(self, desk: _Desk) -> tuple[CandidatePool, Facts] | None:
        """Return every candidate if there are few enough, otherwise None."""
        key = (tuple(desk.knobs), desk.rules, desk.signs)
        made_from, whole = self._known.memory.whole
        if made_from != key:
            pool = candidates.every(desk.knobs, desk.rules)
            whole = None if pool is None else (pool, desk.ask(pool.present()))
            self._known.memory.whole = key, whole
        return whole

    def _check(self, count: int) -> None:
        odd = sorted({*self._known.costs, *self._known.estimates} - set(range(count)))
        if odd:
            raise ValueError(
                f"there is knowledge about objectives {odd}, and the study has those from 0 to "
                f"{count - 1}: count them from 0, in the order of the study's directions"
            )


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """What one proposal needs to make candidates."""

    knobs: Sequence[Parameter]
    rules: tuple[Absence, ...]
    ask: Callable[[Sequence[Mapping[str, Any]]], Facts]
    signs: tuple[float, ...]
    random: np.random.Generator

    def drawn(self, past: History) -> tuple[CandidatePool, Facts]:
        """Draw uniform points, and the best trials with a change."""
        ranks = stateless.ranked(past, np.arange(len(past.told)))
        parents = past.told[np.argsort(ranks, kind="stable")[:_PARENTS]]
        pool = candidates.drawn(self.knobs, self.rules, parents, self.random)
        return pool, self.ask(pool.present())

    def bettered(
        self, pool: CandidatePool, facts: Facts, learned: Model, past: History
    ) -> tuple[CandidatePool, Facts]:
        """Change the best of a draw in a few rounds to find better ones."""
        for _ in range(_ROUNDS):
            best = np.argsort(-learned.score(pool.codes, facts), kind="stable")[:_BEST]
            children = moves.children(self.knobs, pool.full[best], self.random)
            near = candidates.pool(self.knobs, children, self.rules)
            around = self.ask(near.present())
            new = _allowed(near.untried(past.tried), around)
            pool = pool.at(best).and_also(near.at(new))
            facts = knowledge.joined(facts.at(best), around.at(new))
        return pool, facts


def _allowed(rows: NDArray[np.intp], facts: Facts) -> NDArray[np.intp]:
    """Return the candidates within every known limit, or the nearest ones if there are none."""
    if not facts.limits or len(rows) == 0:
        return rows
    worst = np.max([np.maximum(amounts[rows], 0) for amounts in facts.limits.values()], axis=0)
    return rows[worst <= worst.min()]
