"""A sampler whose proposals grow too slow, shown only some of many trials.

A Gaussian process costs the cube of what it learns from. Beyond a number of trials it sees half of
that number the best by rank, and of the others as many, evenly through the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.samplers import history, stateless


class FewTrialsSampler(BaseSampler):
    """Proposes what ``inner`` does after at most ``most`` trials with values, and all that run."""

    def __init__(self, inner: BaseSampler, *, most: int) -> None:
        """``inner`` keeps nothing between two proposals that it could not do without."""
        self._inner = inner
        self._most = most

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the inner sampler says of the whole study."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's values, from the whole study or from a smaller one in memory."""
        trials = study.get_trials(deepcopy=False)
        if sum(each.state == TrialState.COMPLETE for each in trials) <= self._most:
            return self._inner.sample_relative(study, trial, search_space)
        past = history.read(study, trial, [])
        rows = stateless.chosen(past.values, past.worst_violation, most=self._most)
        told = history.those_told(trials)
        running = [
            each
            for each in trials
            if each.state == TrialState.RUNNING and each.number != trial.number
        ]
        small = optuna.create_study(directions=study.directions)
        asking = create_trial(state=TrialState.RUNNING)
        small.add_trials([*(told[row] for row in rows), *running, asking])
        asking = small.get_trials(deepcopy=False)[-1]
        return self._inner.sample_relative(small, asking, search_space)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """What the inner sampler does."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """What the inner sampler does."""
        self._inner.after_trial(study, trial, state, values)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The inner sampler's value."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)
