"""The samplers that a job can ask for. Each is made for one proposal and then dropped.

A sampler that is made from ``(seed, trial)`` keeps no state, so a restarted searcher proposes from
the same history what the previous one would have proposed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from featherweight.specs.job import SamplerName
from search.samplers.few_trials import FewTrialsSampler
from search.samplers.known_cost import CostFunction, Knowledge, KnownCostSampler, blas
from search.samplers.known_cost.knowledge import NOTHING
from search.samplers.local_search import LocalSearchSampler
from search.samplers.regularized_evolution import RegularizedEvolutionSampler

__all__ = ["CostFunction", "Knowledge", "KnownCostSampler", "build", "load"]


_MOST_OF_GP = 400
"""Most trials that it learns from: the cost of a proposal grows with their cube."""


@dataclass(frozen=True, kw_only=True)
class _Wish:
    seed: int
    trials: int
    known: Knowledge


def build(name: SamplerName, *, seed: int, trials: int, known: Knowledge = NOTHING) -> BaseSampler:
    """Make a sampler for one proposal.

    Args:
        name: The name of a sampler, resolved from ``auto`` by ``search.sampling``.
        seed: The seed of this proposal, 0 to 2**32 - 1.
        trials: Number of search trials of the whole job, which sizes start-up and population.
        known: The space and what is known of it; only some samplers use it.
    """
    return _SAMPLERS[name](_Wish(seed=seed, trials=trials, known=known))


def load() -> None:
    """Import what samplers import at their first proposal, so that no trial waits for it.

    That takes half a second. Optuna's Gaussian process, which imports torch, is left out.
    """
    import scipy.interpolate
    import scipy.optimize
    import scipy.special  # noqa: F401

    with blas.one_thread():
        pass


def _known_cost(wish: _Wish) -> BaseSampler:
    startup = _startup(wish.trials)
    return KnownCostSampler(seed=wish.seed, known=wish.known, num_startup_trials=startup)


def _tpe(wish: _Wish) -> BaseSampler:
    with warnings.catch_warnings():
        # ``group`` has been experimental since 2.8; without it knobs of absent techniques mislead.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=wish.seed,
            n_startup_trials=_startup(wish.trials),
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _nsga2(wish: _Wish) -> BaseSampler:
    return NSGAIISampler(seed=wish.seed, population_size=_population(wish.trials))


def _nsga3(wish: _Wish) -> BaseSampler:
    with warnings.catch_warnings():
        # Experimental since 3.2: its interface may change, and is ours here.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return NSGAIIISampler(seed=wish.seed, population_size=_population(wish.trials))


def _cmaes(wish: _Wish) -> BaseSampler:
    return CmaEsSampler(seed=wish.seed, warn_independent_sampling=False)


def _regularized_evolution(wish: _Wish) -> BaseSampler:
    return RegularizedEvolutionSampler(
        seed=wish.seed, space=wish.known.space, population=_population(wish.trials)
    )


def _local_search(wish: _Wish) -> BaseSampler:
    startup = _startup(wish.trials)
    return LocalSearchSampler(seed=wish.seed, space=wish.known.space, num_startup_trials=startup)


def _gp(wish: _Wish) -> BaseSampler:
    # Optuna imports torch with it, so nobody pays who does not ask.
    from optuna.samplers import GPSampler

    inner = GPSampler(seed=wish.seed, n_startup_trials=_startup(wish.trials))
    return FewTrialsSampler(inner, most=_MOST_OF_GP)


def _random(wish: _Wish) -> BaseSampler:
    return RandomSampler(seed=wish.seed)


def _startup(trials: int) -> int:
    return min(10, max(2, trials // 3))


def _population(trials: int) -> int:
    """At least six generations within the budget, if populations of eight allow it."""
    return min(50, max(8, trials // 6))


_SAMPLERS: Mapping[str, Callable[[_Wish], BaseSampler]] = {
    "known_cost": _known_cost,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "regularized_evolution": _regularized_evolution,
    "local_search": _local_search,
    "cmaes": _cmaes,
    "gp": _gp,
    "random": _random,
}
