"""The samplers of Optuna that a job can ask for, each made for one proposal and thrown away.

A sampler made anew from ``(seed, trial)`` keeps no state of its own, so a restarted searcher
proposes what the one before it would have proposed from the same history.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from featherweight.specs.job import SamplerName


def build(name: SamplerName, *, seed: int, trials: int) -> BaseSampler:
    """A sampler for one proposal.

    Args:
        name: A resolved name, that is any but ``auto`` (see ``search.sampling``).
        seed: Seed of this one proposal, 0 to 2**32 - 1.
        trials: Search trials of the whole job; sizes start-up and population.
    """
    return _SAMPLERS[name](seed, trials)


def _tpe(seed: int, trials: int) -> BaseSampler:
    with warnings.catch_warnings():
        # ``group`` has been experimental since 2.8; without it knobs of absent techniques mislead.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=seed,
            n_startup_trials=_startup(trials),
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _nsga2(seed: int, trials: int) -> BaseSampler:
    """At least six generations within the budget, if populations of eight allow it."""
    return NSGAIISampler(seed=seed, population_size=min(50, max(8, trials // 6)))


def _gp(seed: int, trials: int) -> BaseSampler:
    # Optuna imports torch with it, so nobody pays who does not ask.
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=_startup(trials))


def _random(seed: int, trials: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _startup(trials: int) -> int:
    return min(10, max(2, trials // 3))


_SAMPLERS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "random": _random,
}
