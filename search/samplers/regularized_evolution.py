"""Regularised evolution: change one knob of the best of a few of the latest trials.

Real et al., Regularized Evolution for Image Classifier Architecture Search, arXiv:1802.01548,
algorithm 1: the oldest trials leave the population, however good they are. Here the best of a
sample has the lowest non-dominated rank in it, constraints first, and one of equals is drawn. A
number changes by a small step as often as to any value; the paper's knobs are all choices.
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

_SAMPLED = 0.25
"""Share of the population that a parent is drawn from, as in the paper (25 of 100)."""


class RegularizedEvolutionSampler(StatelessSampler):
    """Random points until the population is full, then changed copies of good young ones."""

    def __init__(
        self, *, seed: int, space: Mapping[str, BaseDistribution] | None, population: int
    ) -> None:
        """Use the latest ``population`` trials with values, at least 2, as the population."""
        super().__init__(seed=seed, space=space)
        self._population = max(2, population)

    def propose(
        self, past: History, knobs: Sequence[Parameter], random: np.random.Generator
    ) -> dict[str, Any]:
        """Propose a child of the best of a sample of the population."""
        if len(past.told) < self._population:
            return stateless.uniform(knobs, random)
        latest = np.arange(len(past.told))[-self._population :]
        size = max(2, round(_SAMPLED * self._population))
        sample = random.choice(latest, size, replace=False)
        ranks = np.array(stateless.ranked(past, sample))
        parent = random.choice(sample[ranks == ranks.min()])
        child = moves.filled(knobs, past.told[parent], random)
        changed = int(random.integers(len(knobs)))
        child[changed] = random.choice(moves.others(knobs[changed], child[changed], random))
        return stateless.params(knobs, child)
