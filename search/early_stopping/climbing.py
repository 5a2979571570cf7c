"""How many of a job's trials are expected to reach each rung, by the job's own stopping rule.

``stopping.judge`` is asked about made-up trials that arrive one after the other, so the number
follows the rule whatever becomes of it: the first at a rung climbs, what nothing dominates climbs,
constraints come first, and little room makes it strict. Only what candidates are like is assumed
(``search.early_stopping.imagined``). A trial is judged beside every other one that has been at its
rung, as in a job with one worker.

Beyond the trials that are simulated, the share that climbs falls as a power of their number, about
as it does within them, and not below one of ``eta``.
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
"""Trials of a simulation: the rule takes a time that grows with their square."""
_SIMULATIONS = 4
_SEED = 18
_MOST_KNOWN = 64
_USUAL_SLOPE = 0.2
"""So few trials say little of it: what is measured counts half."""
_OBSERVED_FROM = 4.0
"""From so many expected to climb on, those that did count more than the simulated ones."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What has happened: how many trials have reached each rung, and how many may leave it upwards.

    ``climbed`` counts those that have not arrived above yet, too; at the last rung it is 0.
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
    """The expected number of trials that reach each rung.

    Args:
        spec: Its objectives, constraints and ``early_stopping`` count.
        trials: How many reach the first rung in all.
        baseline: What constraints and the rule refer to; None: only relative constraints count.
        standing: What has happened already. The shares that climbed in the job itself count more,
            the more there were.

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
    """What a simulation depends on; ``text`` holds all of it, so that answers can be kept."""

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
    """Of the arrivals at a rung, in their order: what share of simulations let them climb."""

    by_arrival: Numbers
    least: float

    def climbing(self, arrivals: float) -> float:
        """How many of the first so many arrivals climb."""
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
    """Of every rung but the last."""
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
    """Share of the simulations whose n-th arrival at the rung climbed, as far as most have one."""
    climbs = [[end > rung for end in each if end >= rung] for each in ends]
    known = int(np.median([len(each) for each in climbs]))
    if known == 0:
        return np.array([otherwise])
    shares = [[each[n] for each in climbs if n < len(each)] for n in range(known)]
    return np.array([sum(each) / len(each) for each in shares])


def _ends(question: _Question, random: np.random.Generator) -> list[int]:
    """The last rung of each of the trials of a simulation, in the order in which they began."""
    rungs = question.spec.early_stopping.rungs
    been: list[list[Curve]] = [[] for _ in rungs]
    found: list[int] = []
    for _ in range(_TRIALS):
        curve = imagined.curve(question.baseline, rungs, random)
        found.append(_end(question, curve, been))
    return found


def _end(question: _Question, curve: Curve, been: Sequence[list[Curve]]) -> int:
    """Where the rule stops the trial; those that have ``been`` at every rung know of it then."""
    last = len(been) - 1
    for rung in range(last):
        arrival = imagined.arrival(question.spec, question.baseline, rung, curve, been[rung])
        been[rung].append(curve)
        if rule.judge(arrival).stop:
            return rung
    return last
