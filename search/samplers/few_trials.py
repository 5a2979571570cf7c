"""Limit a sampler whose proposals get slow to some of many trials.

The cost of a Gaussian process grows with the cube of its trials. Beyond a limit it sees half of
that number by best rank, and as many of the others, evenly through the study.
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
    """Lets ``inner`` propose from at most ``most`` trials with values and all that run."""

    def __init__(self, inner: BaseSampler, *, most: int) -> None:
        """Wrap ``inner``, which must need no state from one proposal to the next."""
        self._inner = inner
        self._most = most

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the inner sampler's search space of the whole study."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the inner sampler's values, from the study or from a smaller one in memory."""
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
        """Call the inner sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Call the inner sampler."""
        self._inner.after_trial(study, trial, state, values)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the inner sampler's value."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)
