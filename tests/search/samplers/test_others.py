from __future__ import annotations

import typing
from functools import partial

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from featherweight.specs.job import SamplerName
from search import samplers, sampling
from search.errors import SamplerDoesNotFit
from search.front import pareto
from search.samplers import Knowledge, moves
from search.samplers.parameters import Parameter
from search.space import space
from tests import factories
from tests.search.samplers import spaces
from tests.search.samplers.spaces import GRID, MIXED

NAMES = [name for name in typing.get_args(SamplerName) if name not in ("auto", "gp")]
OURS = ["regularized_evolution", "local_search"]


def made(name: str, *, seed: int = 0, trials: int = 40) -> samplers.BaseSampler:
    return samplers.build(name, seed=seed, trials=trials, known=Knowledge(space=MIXED))


def grid(params: spaces.Params) -> list[float]:
    return [spaces.error(params), spaces.cost(params)]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_a_sampler_that_proposes(name: str) -> None:
    numbers = {key: found for key, found in MIXED.items() if isinstance(found, FloatDistribution)}
    of = spaces.study("minimize")
    make = partial(samplers.build, name, seed=0, trials=9, known=Knowledge(space=numbers))
    found = spaces.run(of, make, numbers, lambda p: [p["ratio"]], trials=4)
    assert all(set(trial.params) == set(numbers) for trial in found)


@pytest.mark.parametrize("name", OURS)
def test_evolution_and_local_search_beat_random_points(name: str) -> None:
    def volume(which: str) -> float:
        known = Knowledge(space=GRID)
        make = partial(samplers.build, which, seed=3, trials=150, known=known)
        # One seed per proposal, as in a job.
        seeds = iter(range(1000))
        found = spaces.run(spaces.study(), lambda: make(seed=next(seeds)), GRID, grid, trials=150)
        points = [[t.values[0], np.log(t.values[1])] for t in found]
        return pareto.hypervolume(points, (40.0, np.log(170.0)))

    assert volume(name) > 1.05 * volume("random")


@pytest.mark.parametrize("name", OURS)
def test_their_proposals_follow_from_seed_and_history(name: str) -> None:
    histories = []
    for _ in range(2):
        found = spaces.run(spaces.study(), partial(made, name), MIXED, spaces.mixed, trials=20)
        histories.append([trial.params for trial in found])
    assert histories[0] == histories[1]
    for params in histories[0]:
        for key, value in params.items():
            assert MIXED[key]._contains(MIXED[key].to_internal_repr(value))


def test_local_search_takes_neighbours_of_the_front_that_are_new() -> None:
    of = spaces.study()
    seeds = iter(range(1000))
    known = Knowledge(space=GRID)

    def make() -> samplers.BaseSampler:
        return samplers.build("local_search", seed=next(seeds), trials=12, known=known)

    found = [trial.params for trial in spaces.run(of, make, GRID, grid, trials=40)]
    assert len({tuple(params.values()) for params in found}) == 40
    for number, params in enumerate(found[10:], start=10):
        apart = [sum(params[k] != old[k] for k in GRID) for old in found[:number]]
        assert min(apart) == 1


def test_evolution_forgets_the_oldest() -> None:
    of = spaces.study("minimize")
    seeds = iter(range(1000))
    known = Knowledge(space=GRID)

    def make() -> samplers.BaseSampler:
        return samplers.build("regularized_evolution", seed=next(seeds), trials=48, known=known)

    # The first trial is the best there will ever be, and its line dies out.
    first = spaces.ask(of, make(), GRID)
    of.tell(first, -100.0)
    spaces.run(of, make, GRID, lambda p: [spaces.error(p)], trials=40)
    child = spaces.ask(of, make(), GRID)
    apart = [sum(child.params[k] != t.params[k] for k in GRID) for t in of.trials[-9:-1]]
    assert min(apart) <= 1


def test_cmaes_is_refused_where_it_cannot_search() -> None:
    words = space.build(factories.spec(techniques={"quantization": {}}), factories.outline())
    real = {"distillation": {"temperature": {"low": 1, "high": 8}}}
    numbers = space.build(factories.spec(techniques=real), factories.outline())
    with pytest.raises(SamplerDoesNotFit, match="one objective, and the job has 2"):
        sampling.check("cmaes", numbers, num_objectives=2)
    with pytest.raises(SamplerDoesNotFit, match="weight_bits"):
        sampling.check("cmaes", words, num_objectives=1)
    assert sampling.check("cmaes", numbers, num_objectives=1) is None


@pytest.mark.parametrize(
    "distribution",
    [
        CategoricalDistribution([1, 1.5, True, "1"]),
        CategoricalDistribution([64, 8, 16]),
        IntDistribution(3, 17, step=7),
        IntDistribution(1, 1000, log=True),
        FloatDistribution(0.1, 0.7, step=0.2),
        FloatDistribution(1e-5, 1.0, log=True),
    ],
)
def test_a_value_comes_back_from_its_code(distribution: samplers.BaseSampler) -> None:
    knob = Parameter(name="x", distribution=distribution)
    for code in moves.uniform(knob, 50, np.random.default_rng(0)):
        value = knob.value(code)
        assert knob.distribution._contains(knob.distribution.to_internal_repr(value))
        again = knob.value(knob.code(value))
        assert (type(again), again) == (type(value), pytest.approx(value))


def test_choices_that_are_numbers_are_nearer_the_nearer_their_values() -> None:
    knob = Parameter(name="x", distribution=CategoricalDistribution([64, 8, 16]))
    _, order = knob.blocks(np.array([0.0, 1.0, 2.0]))
    squares = ((order[:, None] - order[None]) ** 2).sum(axis=2)
    assert squares[0, 1] == pytest.approx(1.0)
    assert squares[1, 2] == pytest.approx(0.5)
