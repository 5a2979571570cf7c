from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial
from threadpoolctl import threadpool_info, threadpool_limits

from search.front import pareto
from search.samplers import Knowledge, KnownCostSampler
from search.samplers.known_cost.knowledge import Facts
from search.samplers.known_cost.model import Axes
from search.samplers.parameters import Parameter
from tests.search.samplers import spaces
from tests.search.samplers.spaces import GRID, MIXED

KNOWN = Knowledge(space=GRID, costs={1: spaces.costs})


def known(space: Mapping[str, BaseDistribution] = MIXED, *, seed: int = 0) -> KnownCostSampler:
    return KnownCostSampler(seed=seed, known=Knowledge(space=space), num_startup_trials=4)


def grid(params: spaces.Params) -> list[float]:
    return [spaces.error(params), spaces.cost(params)]


def volume(trials: list[optuna.trial.FrozenTrial]) -> float:
    points = [[t.values[0], math.log(t.values[1])] for t in trials]
    return pareto.hypervolume(points, (40.0, math.log(170.0)))


def test_the_same_history_and_seed_give_the_same_proposals_whichever_object_is_asked() -> None:
    one, other = spaces.study(), spaces.study()
    for _ in range(12):
        first = spaces.ask(one, known(), MIXED)
        second = spaces.ask(other, known(), MIXED)
        assert first.params == second.params
        one.tell(first, spaces.mixed(first.params))
        other.tell(second, spaces.mixed(second.params))
    kept = known()
    assert spaces.ask(one, kept, MIXED).params == spaces.ask(other, known(), MIXED).params


def test_samplers_of_one_knowledge_count_a_whole_space_once() -> None:
    asked: list[int] = []

    def costs(candidates: Sequence[spaces.Params]) -> list[float]:
        asked.append(len(candidates))
        return spaces.costs(candidates)

    shared, study, other = Knowledge(space=GRID, costs={1: costs}), spaces.study(), spaces.study()
    for seed in range(8):
        sampler = KnownCostSampler(seed=seed, known=shared, num_startup_trials=4)
        alone = KnownCostSampler(seed=seed, known=replace(KNOWN), num_startup_trials=4)
        first, second = spaces.ask(study, sampler, GRID), spaces.ask(other, alone, GRID)
        assert first.params == second.params
        study.tell(first, grid(first.params))
        other.tell(second, grid(second.params))
    assert sum(count > len(study.trials) for count in asked) == 1
    # With the directions the other way round known costs have another sign.
    turned = optuna.create_study(directions=["minimize", "maximize"])
    for seed in range(8):
        trial = spaces.ask(turned, KnownCostSampler(seed=seed, known=shared), GRID)
        turned.tell(trial, grid(trial.params))
    assert sum(count > len(study.trials) for count in asked) == 2


def test_a_proposal_that_was_lost_is_proposed_again_and_one_that_failed_twice_is_not() -> None:
    study = spaces.study()
    spaces.run(study, partial(known, GRID), GRID, grid, trials=6)
    proposed = []
    for _ in range(3):
        trial = spaces.ask(study, known(GRID), GRID)
        proposed.append(trial.params)
        study.tell(trial, state=TrialState.FAIL)
    assert proposed[0] == proposed[1]
    assert proposed[2] != proposed[0]


@pytest.mark.parametrize("finished", [0, 3, 8])
def test_proposals_that_wait_at_the_same_time_differ(finished: int) -> None:
    study = spaces.study()
    make = partial(KnownCostSampler, seed=0, known=KNOWN, num_startup_trials=4)
    spaces.run(study, make, GRID, grid, trials=finished)
    waiting = [tuple(spaces.ask(study, make(), GRID).params.values()) for _ in range(8)]
    assert len(set(waiting)) == 8


@pytest.mark.parametrize(
    ("finished", "begun", "learns"), [(4, 4, False), (5, 4, False), (5, 5, True)]
)
def test_trials_that_still_run_count_for_the_start_once_half_of_it_has_values(
    finished: int, begun: int, learns: bool
) -> None:
    """Told other values of the same points, it proposes another one only where it learns."""
    proposed = {
        _next(lambda params, by=by: [by * value for value in grid(params)], finished, begun)
        for by in (1.0, -1.0)
    }
    assert (len(proposed) == 2) == learns


def _next(
    answer: Callable[[spaces.Params], list[float]], finished: int, begun: int
) -> tuple[object, ...]:
    study = spaces.study()
    make = partial(KnownCostSampler, seed=0, known=KNOWN, num_startup_trials=10)
    spaces.run(study, make, GRID, answer, trials=finished)
    asked = [spaces.ask(study, make(), GRID) for _ in range(begun + 1)]
    return tuple(asked[-1].params.values())


@pytest.mark.parametrize("directions", [["minimize"], ["minimize"] * 2, ["minimize"] * 3])
def test_every_proposal_lies_inside_its_distribution(directions: list[str]) -> None:
    study = spaces.study(*directions)

    def answer(params: spaces.Params) -> list[float]:
        return [*spaces.mixed(params), params["rate"]][: len(directions)]

    trials = spaces.run(study, known, MIXED, answer, trials=14)
    for trial in trials:
        assert set(trial.params) == set(MIXED)
        for name, value in trial.params.items():
            assert MIXED[name]._contains(MIXED[name].to_internal_repr(value)), (name, value)
    assert len({tuple(trial.params.values()) for trial in trials}) == 14


def test_a_known_cost_beats_random_search_by_a_wide_margin() -> None:
    for seed in range(3):
        make = partial(KnownCostSampler, seed=seed, known=KNOWN)
        ours = spaces.run(spaces.study(), make, GRID, grid, trials=40)
        sampler = RandomSampler(seed=seed)
        random = spaces.run(spaces.study(), lambda s=sampler: s, GRID, grid, trials=160)
        assert volume(ours) > 1.03 * volume(random)


def test_ordered_knobs_are_learned_across_their_values() -> None:
    space: dict[str, BaseDistribution] = {
        "x": IntDistribution(0, 200),
        "y": FloatDistribution(0.0, 1.0),
        "z": FloatDistribution(1e-4, 1.0, log=True),
    }

    def answer(params: spaces.Params) -> list[float]:
        z = math.log10(params["z"]) + 2
        return [(params["x"] / 200 - 0.3) ** 2 + (params["y"] - 0.8) ** 2 + (z / 4) ** 2]

    trials = spaces.run(spaces.study("minimize"), partial(known, space), space, answer, trials=30)
    assert min(trial.values[0] for trial in trials) < 0.003


def test_what_is_maximised_and_what_is_known_may_be_in_any_order() -> None:
    make = partial(KnownCostSampler, seed=1, known=Knowledge(space=GRID, costs={0: spaces.costs}))
    study = spaces.study("minimize", "maximize")

    def answer(params: spaces.Params) -> list[float]:
        return [spaces.cost(params), -spaces.error(params)]

    trials = spaces.run(study, make, GRID, answer, trials=40)
    flipped = [[-t.values[1], math.log(t.values[0])] for t in trials]
    plain = spaces.run(
        spaces.study(), partial(KnownCostSampler, seed=1, known=KNOWN), GRID, grid, trials=40
    )
    found = pareto.hypervolume(flipped, (40.0, math.log(170.0)))
    assert found == pytest.approx(volume(plain), rel=0.03)


def test_knobs_that_only_some_trials_have_are_learned_where_they_are() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("method", ["plain", "fine"]) == "plain":
            return 1.0 + trial.suggest_float("level", 0, 1)
        return (trial.suggest_float("depth", 0, 1) - 0.7) ** 2

    study = spaces.study("minimize")
    study.sampler = KnownCostSampler(seed=0, num_startup_trials=6)
    study.optimize(objective, n_trials=30)
    fine = [trial for trial in study.trials if trial.params["method"] == "fine"]
    assert all(set(trial.params) == {"method", "depth"} for trial in fine)
    assert study.best_value < 0.002
    assert len(fine) > 15


def test_a_limit_that_is_known_is_never_broken() -> None:
    limited = Knowledge(
        space=GRID,
        costs={1: spaces.costs},
        limits={"cheap": lambda candidates: [spaces.cost(p) / 60 - 1 for p in candidates]},
    )
    make = partial(KnownCostSampler, seed=0, known=limited)
    trials = spaces.run(spaces.study(), make, GRID, grid, trials=25)
    assert max(trial.values[1] for trial in trials) <= 60


def test_where_nothing_keeps_a_limit_the_nearest_points_are_tried() -> None:
    limited = Knowledge(
        space=GRID, limits={"free": lambda candidates: [spaces.cost(p) for p in candidates]}
    )
    make = partial(KnownCostSampler, seed=0, known=limited, num_startup_trials=2)
    trials = spaces.run(spaces.study(), make, GRID, grid, trials=5)
    every = sorted(spaces.costs([dict(zip(GRID, p, strict=True)) for p in _letters()]))
    assert sorted(trial.values[1] for trial in trials) == every[:5]


def _letters() -> list[tuple[str, ...]]:
    return list(product("pqrs", repeat=6))


def test_a_constraint_that_has_to_be_learned_is_kept_more_and_more() -> None:
    study = spaces.study()
    make = partial(KnownCostSampler, seed=0, known=KNOWN)
    for _ in range(40):
        trial = spaces.ask(study, make(), GRID)
        trial.set_constraint("accurate", spaces.error(trial.params) - 24)
        study.tell(trial, grid(trial.params))
    broken = [trial.constraints["accurate"] > 0 for trial in study.trials]
    assert sum(broken[:10]) >= 3
    assert sum(broken[-15:]) <= 5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_constant_infinite_and_failed_outcomes_are_survived() -> None:
    study = spaces.study()
    seen = set()
    for number in range(16):
        trial = spaces.ask(study, known(), MIXED)
        seen.add(tuple(trial.params.values()))
        match number % 4:
            case 0:
                study.tell(trial, [1.0, math.inf])
            case 1:
                study.tell(trial, state=TrialState.FAIL)
            case _:
                study.tell(trial, [1.0, 1.0])
    assert len(seen) >= 12


def test_a_history_without_any_feasible_trial_is_survived() -> None:
    study = spaces.study()
    for _ in range(10):
        trial = spaces.ask(study, known(), MIXED)
        trial.set_constraint("never", 1.0 + trial.params["ratio"])
        study.tell(trial, spaces.mixed(trial.params))
    assert min(trial.params["ratio"] for trial in study.trials[-4:]) < 0.2


def test_a_space_of_one_point_and_one_that_is_used_up() -> None:
    single: dict[str, BaseDistribution] = {"only": CategoricalDistribution(["this"])}
    study = spaces.study("minimize")
    found = spaces.run(study, partial(known, single), single, lambda p: [1.0], trials=3)
    assert [trial.params for trial in found] == [{"only": "this"}] * 3
    few: dict[str, BaseDistribution] = {"x": IntDistribution(0, 5)}
    study = spaces.study("minimize")
    found = spaces.run(study, partial(known, few), few, lambda p: [p["x"]], trials=9)
    assert {trial.params["x"] for trial in found[:6]} == set(range(6))


def test_a_refused_trial_teaches_nothing_and_is_not_proposed_again() -> None:
    study, beside = spaces.study(), spaces.study()
    for of in (study, beside):
        spaces.run(of, partial(known, GRID), GRID, grid, trials=6)
    refused = spaces.ask(beside, known(GRID), GRID).params
    study.add_trial(
        create_trial(
            params=refused,
            distributions=GRID,
            values=[-1e6, 1.0],
            user_attrs={"refused": "too large"},
        )
    )
    assert spaces.ask(study, known(GRID), GRID).params != refused


def test_an_estimate_helps_to_learn_a_cost() -> None:
    guesses = Knowledge(
        space=GRID, estimates={1: lambda c: [0.3 * x**1.1 for x in spaces.costs(c)]}
    )
    with_guess = spaces.run(
        spaces.study(), partial(KnownCostSampler, seed=2, known=guesses), GRID, grid, trials=30
    )
    blind = spaces.run(spaces.study(), partial(known, GRID, seed=2), GRID, grid, trials=30)
    assert volume(with_guess) > volume(blind)


def test_a_hint_helps_to_learn_what_no_knob_says_by_itself() -> None:
    def hint(candidates: Sequence[spaces.Params]) -> list[float]:
        return [round(0.4 * spaces.error(params)) ** 3 for params in candidates]

    def end(known: Knowledge, seed: int) -> float:
        sampler = partial(KnownCostSampler, seed=seed, known=known)
        return volume(spaces.run(spaces.study(), sampler, GRID, grid, trials=16))

    hinted = replace(KNOWN, hints=(hint,))
    assert sum(end(hinted, seed) - end(KNOWN, seed) for seed in (1, 2, 3)) > 0
    # One that says nothing is no hindrance.
    silent = replace(KNOWN, hints=(lambda c: [0.0] * len(c),))
    assert end(silent, 1) == pytest.approx(end(KNOWN, 1), rel=0.1)


def test_an_explained_knob_acts_through_what_is_told_of_it_alone() -> None:
    names = ("asked", "other")
    knobs = [Parameter(name=name, distribution=FloatDistribution(0.0, 1.0)) for name in names]
    one, alike, unlike = np.array([[0.1, 0.5]]), np.array([[0.9, 0.5]]), np.array([[0.1, 0.6]])

    def apart(other: np.ndarray, hint: float, **changes: frozenset[str]) -> float:
        told = [Facts(costs={}, limits={}, estimates={}, hints=[np.array([v])]) for v in (2, hint)]
        axes = Axes.over(knobs, told, has_rungs=False, **changes)
        first, second = (axes.blocks(codes, f) for codes, f in zip((one, other), told, strict=True))
        return float(sum(((a - b) ** 2).sum() for a, b in zip(first, second, strict=True)))

    explained = frozenset({"asked"})
    assert apart(alike, 2.0, explained=explained) == 0
    assert apart(alike, 2.0) > 0
    assert apart(alike, 3.0, explained=explained) > 0
    assert apart(unlike, 2.0, explained=explained) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Knowledge(space=GRID, costs={2: spaces.costs}), "objectives \\[2\\]"),
        (Knowledge(space=GRID, costs={1: lambda c: [1.0]}), "one number for each"),
        (Knowledge(space=GRID, costs={1: lambda c: [math.nan for _ in c]}), "must be finite"),
        (Knowledge(space=GRID, estimates={1: lambda c: [0.0 for _ in c]}), "must be positive"),
        (Knowledge(space=GRID, hints=(spaces.costs, lambda c: [1.0])), "hint 1 must be one number"),
    ],
)
def test_knowledge_that_cannot_be_is_refused(wrong: Knowledge, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spaces.ask(spaces.study(), KnownCostSampler(seed=0, known=wrong), GRID)


def test_an_objective_is_known_or_guessed_not_both() -> None:
    with pytest.raises(ValueError, match="leave the estimate out"):
        Knowledge(costs={1: spaces.costs}, estimates={1: spaces.costs})


def test_a_knob_is_explained_by_something_and_in_the_space() -> None:
    with pytest.raises(ValueError, match=r"knobs \['z'\] are explained, and the space"):
        Knowledge(space=GRID, hints=(spaces.costs,), explained=frozenset({"a", "z"}))
    with pytest.raises(ValueError, match=r"nothing explains the knobs \['a'\]"):
        Knowledge(space=GRID, explained=frozenset({"a"}))


def test_linear_algebra_runs_on_one_thread_and_is_left_as_it_was() -> None:
    seen: list[int] = []

    def cost(candidates: Sequence[Mapping[str, Any]]) -> list[float]:
        seen.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return [float(each["x"]) for each in candidates]

    space = {"x": IntDistribution(0, 9)}
    sampler = KnownCostSampler(seed=0, known=Knowledge(space=space, costs={0: cost}))
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.ask(space)  # all libraries are loaded now
    with threadpool_limits(2, user_api="blas"):
        study.ask(space)
        after = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
    assert seen
    assert set(seen) == {1}
    assert set(after) == {2}
