"""Local search: a point of the front with one knob changed, as long as there is a new one.

White, Nolen and Savani, Local Search is State of the Art for Neural Architecture Search Benchmarks,
arXiv:2005.02960: neighbours differ in one knob. The paper follows one point until it has no better
neighbour. With several objectives there is no single best point, so all points of the front are
followed at once. If all their neighbours were tried, a random point starts again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from search.samplers import moves, stateless
from search.samplers.history import History
from search.samplers.parameters import Parameter
from search.samplers.stateless import StatelessSampler


class LocalSearchSampler(StatelessSampler):
    """Random points first, then neighbours of the front."""

    def __init__(
        self, *, seed: int, space: Mapping[str, BaseDistribution] | None, num_startup_trials: int
    ) -> None:
        """Begin with ``num_startup_trials`` random trials with values, at least 1."""
        super().__init__(seed=seed, space=space)
        self._startup = max(1, num_startup_trials)

    def propose(
        self, past: History, knobs: Sequence[Parameter], random: np.random.Generator
    ) -> dict[str, Any]:
        """Propose an untried neighbour of a point of the front."""
        if len(past.told) < self._startup:
            return stateless.uniform(knobs, random)
        ranks = np.array(stateless.ranked(past, np.arange(len(past.told))))
        front = np.flatnonzero(ranks == 0)
        tried = set(moves.keys(past.tried))
        for row in random.permutation(front):
            near = moves.neighbours(knobs, moves.filled(knobs, past.told[row], random), random)
            new = [index for index, key in enumerate(moves.keys(near)) if key not in tried]
            if new:
                return stateless.params(knobs, near[random.choice(new)])
        return stateless.uniform(knobs, random)
