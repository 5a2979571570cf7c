"""Estimate how many of a job's trials reach each rung, by simulating the job's own stopping rule.

``rule.judge`` judges made-up trials that arrive one after the other, so the estimate follows every
change of the rule. Only what candidates are like is assumed (``search.early_stopping.imagined``). A
trial is compared with all others that have been at its rung, as in a job with one worker.

Beyond the number of trials that are simulated, the share that climbs falls as a power of that
number, about as it does within the simulation, but not below ``1 / eta``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from search.early_stopping import imagined, rule
from search.early_stopping.imagined import Curve

Numbers = NDArray[np.float64]
_TRIALS = 32
"""Trials of a simulation; the time that the rule takes grows with their square."""
_SIMULATIONS = 4
_SEED = 18
_MOST_KNOWN = 64
_USUAL_SLOPE = 0.2
"""Mixed in equal parts with the measured slope, which few trials determine badly."""
_OBSERVED_FROM = 4.0
"""From this number of expected climbers on, the observed share counts more than the simulated."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The number of trials that have reached each rung, and of those allowed to climb from it.

    ``climbed`` includes trials that have not arrived at the next rung yet; it is 0 at the last.
    """

    reached: Sequence[int]
    climbed: Sequence[int]


def reaching(
    spec: JobSpec,
    *,
    trials: int,
    baseline: Measurement | None = None,
    standing: Standing | None = None,
) -> tuple[float, ...]:
    """Return the expected number of trials that reach each rung.

    Args:
        spec: The job; its objectives, constraints and ``early_stopping`` are used.
        trials: How many trials reach the first rung in all.
        baseline: The measurement that constraints and the rule refer to; without one only relative
            constraints are used.
        standing: What has happened already. The more trials have climbed in the job itself, the
            more their share counts.

    Returns:
        One number per rung, the first of them ``trials``.
    """
    rungs = len(spec.early_stopping.rungs)
    shares = _shares(_Question.of(spec, baseline))
    reached, climbed = (0,) * rungs, (0,) * rungs
    if standing is not None:
        reached, climbed = tuple(standing.reached), tuple(standing.climbed)
    found = [max(float(trials), float(reached[0]))]
    for rung in range(rungs - 1):
        later = shares[rung].climbing(found[rung]) - shares[rung].climbing(reached[rung])
        expected = shares[rung].climbing(reached[rung])
        later *= (climbed[rung] + _OBSERVED_FROM) / (expected + _OBSERVED_FROM)
        above = climbed[rung] + min(later, found[rung] - reached[rung])
        found.append(max(above, float(reached[rung + 1])))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What a simulation depends on. Answers are cached by ``text``, which holds all of it."""

    text: str
    spec: JobSpec = field(compare=False)
    baseline: Measurement = field(compare=False)

    @classmethod
    def of(cls, spec: JobSpec, baseline: Measurement | None) -> _Question:
        anchor = imagined.anchor(baseline)
        kept = tuple(c for c in spec.constraints if baseline is not None or c.is_relative)
        kept = tuple(each for each in kept if anchor.known(each.metric) is not None)
        objectives = imagined.known_objectives(spec.objectives)
        spec = spec.model_copy(update={"constraints": kept, "objectives": objectives})
        asked = spec.model_dump_json(include={"objectives", "constraints", "early_stopping"})
        return cls(text=asked + anchor.model_dump_json(), spec=spec, baseline=anchor)


@dataclass(frozen=True, kw_only=True)
class _Shares:
    """For each arrival at a rung, in order, the share of simulations in which it climbed."""

    by_arrival: Numbers
    least: float

    def climbing(self, arrivals: float) -> float:
        """Return how many of the first ``arrivals`` climb; a fraction counts in part."""
        whole = math.floor(arrivals)
        shares = self._until(whole + 1)
        return float(shares[:whole].sum() + (arrivals - whole) * shares[whole])

    def _until(self, count: int) -> Numbers:
        known = len(self.by_arrival)
        if count <= known:
            return self.by_arrival[:count]
        half = self.by_arrival[known // 2 :]
        late, early = half.mean(), self.by_arrival[known // 4 : max(1, known // 2)].mean()
        found = math.log2(early / late) if 0 < late < early else 0.0
        slope = (found + _USUAL_SLOPE) / 2
        centre = 0.75 * known
        tail = late * (np.arange(known + 1, count + 1) / centre) ** -min(slope, 1.0)
        return np.concatenate([self.by_arrival, np.maximum(tail, min(self.least, late))])


@lru_cache(maxsize=_MOST_KNOWN)
def _shares(question: _Question) -> tuple[_Shares, ...]:
    """The shares of every rung but the last."""
    early = question.spec.early_stopping
    if len(early.rungs) == 1:
        return ()
    random = np.random.default_rng(_SEED)
    ends = [_ends(question, random) for _ in range(_SIMULATIONS)]
    return tuple(
        _Shares(by_arrival=_by_arrival(ends, rung, otherwise=1 / early.eta), least=1 / early.eta)
        for rung in range(len(early.rungs) - 1)
    )


def _by_arrival(ends: Sequence[Sequence[int]], rung: int, *, otherwise: float) -> Numbers:
    """For each n the share of simulations whose n-th arrival climbed, while most have an n-th."""
    climbs = [[end > rung for end in each if end >= rung] for each in ends]
    known = int(np.median([len(each) for each in climbs]))
    if known == 0:
        return np.array([otherwise])
    shares = [[each[n] for each in climbs if n < len(each)] for n in range(known)]
    return np.array([sum(each) / len(each) for each in shares])


def _ends(question: _Question, random: np.random.Generator) -> list[int]:
    """Simulate once; return the last rung of each trial, in the order in which they began."""
    rungs = question.spec.early_stopping.rungs
    been: list[list[Curve]] = [[] for _ in rungs]
    found: list[int] = []
    for _ in range(_TRIALS):
        curve = imagined.curve(question.baseline, rungs, random)
        found.append(_end(question, curve, been))
    return found


def _end(question: _Question, curve: Curve, been: Sequence[list[Curve]]) -> int:
    """Return the rung at which the rule stops the trial, and enter it in ``been`` on the way."""
    last = len(been) - 1
    for rung in range(last):
        arrival = imagined.arrival(question.spec, question.baseline, rung, curve, been[rung])
        been[rung].append(curve)
        if rule.judge(arrival).stop:
            return rung
    return last
