"""What is known of a search space before anything is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from search.samplers.candidates import CandidatePool

Array: TypeAlias = NDArray[np.float64]
CostFunction: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Sequence[float]]
"""A function from candidates, as mappings from knob to value, to one number for each."""


@dataclass
class Memory:
    """The candidates of an enumerated space, and what they were made from.

    The candidates are None if there are too many.
    """

    whole: tuple[object, tuple[CandidatePool, Facts] | None] = (None, None)


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Facts on which a sampler may rely.

    ``space`` holds every knob's distribution; None leaves it to the trials so far. ``costs`` maps
    the index of an objective to its exact value in the objective's own direction, ``limits`` the
    key of a constraint to its exact violation (at most 0 is feasible). ``estimates`` maps the index
    of an objective that is learned to a guess of it, positive and of the same order for better and
    worse; it helps to learn and decides nothing. ``hints`` are further numbers that may tell good
    candidates from bad ones and are used as coordinates only. ``explained`` names knobs that act
    through guesses and hints alone, so that their values add nothing. ``memory`` belongs to the
    samplers: one stores what follows from the knowledge, and the next one that is made from it
    uses that.
    """

    space: Mapping[str, BaseDistribution] | None = None
    costs: Mapping[int, CostFunction] = field(default_factory=dict)
    limits: Mapping[str, CostFunction] = field(default_factory=dict)
    estimates: Mapping[int, CostFunction] = field(default_factory=dict)
    hints: Sequence[CostFunction] = ()
    explained: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=Memory, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for contradictory knowledge.

        That is an objective that is both exact and guessed, or an explained knob that is not in the
        space or that nothing explains.
        """
        both = sorted(set(self.costs) & set(self.estimates))
        if both:
            raise ValueError(
                f"objectives {both} have an exact cost and an estimate: leave the estimate out"
            )
        odd = sorted(self.explained - set(self.space or ()))
        if odd:
            raise ValueError(f"the knobs {odd} are explained, and the space does not have them")
        if self.explained and not (self.costs or self.estimates or self.hints):
            raise ValueError(
                f"nothing explains the knobs {sorted(self.explained)}: give costs, estimates or "
                "hints that say what their values come to"
            )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of N points: minimised costs and logarithms of estimates, each ``(N,)``."""

    costs: Mapping[int, Array]
    limits: Mapping[str, Array]
    estimates: Mapping[int, Array]
    hints: Sequence[Array]

    def at(self, rows: NDArray[np.intp]) -> Facts:
        """Return some of the points."""
        return Facts(
            costs={key: values[rows] for key, values in self.costs.items()},
            limits={key: values[rows] for key, values in self.limits.items()},
            estimates={key: values[rows] for key, values in self.estimates.items()},
            hints=[values[rows] for values in self.hints],
        )


NOTHING = Knowledge()
"""No knowledge: every objective is learned, as in a plain Bayesian sampler."""


def facts(knowledge: Knowledge, signs: Array, params: Sequence[Mapping[str, Any]]) -> Facts:
    """Ask every function of the knowledge.

    Raises ValueError if one does not return a finite number per candidate, or if an estimate is not
    positive.
    """
    costs = {
        index: signs[index] * _answers(f"the cost of objective {index}", function, params)
        for index, function in knowledge.costs.items()
    }
    limits = {
        key: _answers(f"the violation of {key!r}", function, params)
        for key, function in knowledge.limits.items()
    }
    estimates = {
        index: _logarithms(f"the estimate of objective {index}", function, params)
        for index, function in knowledge.estimates.items()
    }
    hints = [_answers(f"hint {i}", each, params) for i, each in enumerate(knowledge.hints)]
    return Facts(costs=costs, limits=limits, estimates=estimates, hints=hints)


def _answers(what: str, function: CostFunction, params: Sequence[Mapping[str, Any]]) -> Array:
    values = np.asarray(function(params) if params else [], dtype=float)
    if values.shape != (len(params),):
        raise ValueError(
            f"{what} must be one number for each of {len(params)} candidates, got the shape "
            f"{values.shape}: return a sequence as long as that of the candidates"
        )
    if not np.isfinite(values).all():
        worst = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"{what} must be finite, got {values[worst]} for {dict(params[worst])}: give what "
            "cannot be tried a limit instead"
        )
    return values


def _logarithms(what: str, function: CostFunction, params: Sequence[Mapping[str, Any]]) -> Array:
    values = _answers(what, function, params)
    if (values <= 0).any():
        raise ValueError(f"{what} must be positive, got {values.min()}: shift it, or leave it out")
    return np.log(values)


def joined(one: Facts, other: Facts) -> Facts:
    """Concatenate the points of both."""
    return Facts(
        costs={key: np.concatenate([one.costs[key], other.costs[key]]) for key in one.costs},
        limits={key: np.concatenate([one.limits[key], other.limits[key]]) for key in one.limits},
        estimates={
            key: np.concatenate([one.estimates[key], other.estimates[key]]) for key in one.estimates
        },
        hints=[np.concatenate(pair) for pair in zip(one.hints, other.hints, strict=True)],
    )
