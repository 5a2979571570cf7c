"""A sampler that is shown some of many trials: which, and that the others change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import samplers
from search.samplers import stateless
from search.samplers.few_trials import FewTrialsSampler
from search.samplers.history import REFUSED

SPACE: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in ("a", "b")}


class Looking(RandomSampler):
    """Notes the trials that it is shown when it is asked."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.shown: list[FrozenTrial] = []

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return SPACE

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        self.shown = others
        return {"a": 0.25, "b": 0.75}


def told(a: float, **attributes: Any) -> FrozenTrial:
    params = {"a": a, "b": 0.5}
    return create_trial(
        params=params, distributions=SPACE, values=[a, 1 - a**2], user_attrs=attributes
    )


def study_of(sampler: BaseSampler, count: int) -> Study:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.add_trials([told(index / count) for index in range(count)])
    return study


@pytest.mark.parametrize(("count", "shown"), [(5, 5), (10, 10), (11, 10), (200, 10)])
def test_at_most_so_many_trials_are_shown(count: int, shown: int) -> None:
    inner = Looking()
    trial = study_of(FewTrialsSampler(inner, most=10), count).ask(SPACE)
    assert len(inner.shown) == shown
    assert trial.params == {"a": 0.25, "b": 0.75}


def test_the_best_are_shown_and_the_others_evenly() -> None:
    inner = Looking()
    study = optuna.create_study(directions=["minimize"], sampler=FewTrialsSampler(inner, most=10))
    for value in np.random.default_rng(0).permutation(100):
        params = {"a": value / 100, "b": 0.0}
        study.add_trial(create_trial(params=params, distributions=SPACE, values=[float(value)]))
    study.ask(SPACE)
    values = [trial.values[0] for trial in inner.shown]
    assert set(range(5)) <= set(values)
    assert (len(set(values)), max(values) > 50) == (10, True)


def test_constraints_are_shown_too_and_what_breaks_them_is_not_the_best() -> None:
    inner = Looking()
    study = optuna.create_study(directions=["minimize"], sampler=FewTrialsSampler(inner, most=10))
    for index in range(100):
        study.add_trial(
            create_trial(
                params={"a": index / 100, "b": 0.0},
                distributions=SPACE,
                value=float(index),
                constraints={"small": 1.0 if index < 50 else -1.0},
            )
        )
    study.ask(SPACE)
    assert {50.0, 51.0, 52.0, 53.0, 54.0} <= {trial.values[0] for trial in inner.shown}
    kept = {trial.values[0]: trial.constraints["small"] for trial in inner.shown}
    assert all(amount == (1.0 if value < 50 else -1.0) for value, amount in kept.items())


def test_what_runs_is_shown_and_what_nobody_measured_is_not() -> None:
    inner = Looking()
    study = study_of(FewTrialsSampler(inner, most=10), 30)
    study.add_trial(told(1.0, **{REFUSED: "too large"}))
    first = study.ask(SPACE)
    study.ask(SPACE)
    running = [trial for trial in inner.shown if trial.state == TrialState.RUNNING]
    assert [trial.params for trial in running] == [first.params]
    assert not any(REFUSED in trial.user_attrs for trial in inner.shown)


def test_fewer_trials_than_the_most_are_all_learned_from() -> None:
    values, violation = np.arange(12.0)[:, None], np.zeros(12)
    assert stateless.chosen(values, violation, most=12).tolist() == list(range(12))
    kept = stateless.chosen(values, violation, most=6).tolist()
    assert kept[:3] == [0, 1, 2]
    assert (len(set(kept)), kept[-1]) == (6, 11)


def test_a_gaussian_process_learns_from_what_it_is_shown() -> None:
    study = optuna.create_study(directions=["minimize"])
    for index in range(450):
        a = index / 450
        params = {"a": a, "b": (37 * index % 450) / 450}
        value = (a - 0.3) ** 2 + (params["b"] - 0.6) ** 2
        study.add_trial(create_trial(params=params, distributions=SPACE, value=value))
    study.sampler = samplers.build("gp", seed=1, trials=500)
    found = study.ask(SPACE).params
    assert found == pytest.approx({"a": 0.3, "b": 0.6}, abs=0.05)
