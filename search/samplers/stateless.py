"""The base of samplers whose proposals depend on seed and history alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.front import pareto
from search.samplers import history, moves
from search.samplers.history import History
from search.samplers.parameters import Codes, Parameter

Array = NDArray[np.float64]


class StatelessSampler(BaseSampler):
    """Proposes values for all knobs together; subclasses implement ``propose``."""

    def __init__(self, *, seed: int, space: Mapping[str, BaseDistribution] | None) -> None:
        """Sample from ``space``; None infers it from the trials so far."""
        self._seed = seed
        self._space = space

    @abstractmethod
    def propose(
        self, past: History, knobs: Sequence[Parameter], random: np.random.Generator
    ) -> dict[str, Any]:
        """Return a value for each of the knobs, of which there is at least one."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the given space, or every knob of the trials so far."""
        found = self._space
        if found is None:
            found = history.space(study.get_trials(deepcopy=False))
        return {name: found[name] for name in sorted(found) if not found[name].single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values for every knob. Raises ValueError for more than 3 objectives."""
        count = len(study.directions)
        if count > pareto.MOST_OBJECTIVES:
            raise ValueError(
                f"expected 1 to {pareto.MOST_OBJECTIVES} objectives, got {count}: drop some of them"
            )
        if not search_space:
            return {}
        knobs = [Parameter(name=name, distribution=found) for name, found in search_space.items()]
        past = history.read(study, trial, knobs)
        return self.propose(past, knobs, np.random.default_rng([self._seed, *past.counts]))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a uniform value if nothing is known of the knob yet."""
        knob = Parameter(name=param_name, distribution=param_distribution)
        counts = history.read(study, trial, []).counts
        random = np.random.default_rng([self._seed, *counts, crc32(param_name.encode())])
        return knob.value(moves.uniform(knob, 1, random)[0])


def ranked(past: History, rows: NDArray[np.intp]) -> list[int]:
    """Return the non-dominated ranks of some told trials among themselves, constraints first."""
    points = np.nan_to_num(past.values[rows])
    return pareto.ranks(points.tolist(), past.worst_violation[rows].tolist())


def chosen(values: Array, violation: Array, *, most: int) -> NDArray[np.intp]:
    """Return the rows to learn from: all, or up to a limit half by best rank, the rest evenly.

    ``values`` is ``(N, objectives)``, minimised; ``violation`` ``(N,)``, feasible up to 0.
    """
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(pareto.ranks(values.tolist(), violation.tolist()), kind="stable")
    best, rest = order[: most // 2], np.sort(order[most // 2 :])
    evenly = rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(int)]
    return np.sort(np.concatenate([best, evenly]))


def params(knobs: Sequence[Parameter], codes: Codes) -> dict[str, Any]:
    """Return the values of one point, which has a code for every knob."""
    return {knob.name: knob.value(code) for knob, code in zip(knobs, codes, strict=True)}


def uniform(knobs: Sequence[Parameter], random: np.random.Generator) -> dict[str, Any]:
    """Return a random point."""
    return {knob.name: knob.value(moves.uniform(knob, 1, random)[0]) for knob in knobs}
