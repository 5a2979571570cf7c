"""Small spaces with answers that can be written down, and studies of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

Params = Mapping[str, Any]
MIXED: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(["a", "b", "c"]),
    "width": CategoricalDistribution([8, 16, 32, 64]),
    "depth": IntDistribution(1, 9, step=2),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "ratio": FloatDistribution(0.0, 0.7, step=0.1),
    "units": IntDistribution(4, 512, log=True),
    "fixed": CategoricalDistribution(["only"]),
}
GRID: dict[str, BaseDistribution] = {
    name: CategoricalDistribution(["p", "q", "r", "s"]) for name in "abcdef"
}
"""4,096 points."""
_COST = {"p": 1.0, "q": 2.0, "r": 4.0, "s": 8.0}
_GAIN = {"p": 0.0, "q": 1.0, "r": 1.5, "s": 3.0}


def cost(params: Params) -> float:
    """Of a point of the grid: exact, and dearer for every letter."""
    return sum(_COST[params[name]] * (1 + i) for i, name in enumerate("abcdef"))


def costs(candidates: Sequence[Params]) -> list[float]:
    return [cost(params) for params in candidates]


def error(params: Params) -> float:
    """Of a point of the grid: every letter helps, and pairs that are alike help again."""
    letters = [params[name] for name in "abcdef"]
    alone = sum(_GAIN[letter] * (1 + (i % 3)) for i, letter in enumerate(letters))
    alike = sum(one == other for one, other in pairwise(letters))
    return 40.0 - alone - 1.5 * alike


def mixed(params: Params) -> list[float]:
    """Two objectives over the mixed space."""
    good = {"a": 0.0, "b": 1.0, "c": 2.0}[params["kind"]] + params["depth"] / 9
    return [good - params["ratio"], params["width"] * (1 - params["ratio"]) + params["units"] / 64]


def study(*directions: str) -> optuna.Study:
    return optuna.create_study(directions=list(directions) or ["minimize", "minimize"])


def ask(
    of: optuna.Study, sampler: BaseSampler, space: Mapping[str, BaseDistribution]
) -> optuna.Trial:
    of.sampler = sampler
    return of.ask(dict(space))


def run(
    of: optuna.Study,
    make: Callable[[], BaseSampler],
    space: Mapping[str, BaseDistribution],
    answer: Callable[[Params], Sequence[float]],
    *,
    trials: int,
) -> list[FrozenTrial]:
    """So many trials, each asked of a sampler that was made anew."""
    for _ in range(trials):
        trial = ask(of, make(), space)
        of.tell(trial, list(answer(trial.params)))
    return of.trials
