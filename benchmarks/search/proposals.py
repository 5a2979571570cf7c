"""What a sampler proposes in a search that is replayed, one candidate after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from benchmarks.search.curves import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.job import SamplerName
from featherweight.specs.objective import Objective
from search import samplers
from search.front import comparison
from search.samplers import Knowledge
from search.samplers.rungs import RUNGS, entry

_MOST_COPIES = 50
OBJECTIVES = (
    Objective(metric="accuracy", direction="maximise"),
    Objective(metric="size_bytes", direction="minimise"),
)
Params = Mapping[str, Any]


@dataclass(kw_only=True)
class Run:
    """One trial: its candidate, and what was measured of it at each rung so far."""

    candidate: Candidate
    measured: list[Measurement] = field(default_factory=list)


Propose = Callable[[Sequence[Run]], Candidate | None]


@dataclass(kw_only=True)
class _Asked:
    """One study: every candidate is proposed once, copies are told what the first one gave."""

    source: Sampled
    sampler: SamplerName
    seed: int

    def __post_init__(self) -> None:
        self._study = optuna.create_study(directions=["maximize", "minimize"])
        self._values: dict[str, list[float]] = {}
        self._open: tuple[str, optuna.Trial] | None = None

    def propose(self, runs: Sequence[Run]) -> Candidate | None:
        """The next candidate, after the last run was told; None where there is no new one."""
        if self._open is not None:
            self._tell(*self._open, runs[-1])
        for copies in range(_MOST_COPIES):
            trial = self._ask(copies)
            key = self.source.digest(trial.params)
            if key not in self._values:
                self._open = key, trial
                return self.source.candidate_of(trial.params, self.seed)
            self._study.tell(trial, self._values[key])
        return None

    def _ask(self, copies: int) -> optuna.Trial:
        entropy = [self.seed, len(self._values), *([copies] if copies else [])]
        mixed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        # After some copies a random point, as a job's search does.
        name = "random" if copies > _MOST_COPIES // 2 else self.sampler
        known, opening = self.source.known, self.source.opening
        if copies == 0 and len(self._values) < len(opening):
            self._study.enqueue_trial(dict(opening[len(self._values)]))
        self._study.sampler = samplers.build(name, seed=mixed, trials=100, known=known)
        return self._study.ask(fixed_distributions=dict(known.space or {}))

    def _tell(self, key: str, trial: optuna.Trial, run: Run) -> None:
        told = _entries(self.source.rungs, run.measured)
        self._values[key] = told[-1]["values"]
        if self.sampler == "random":
            return  # it looks at nothing, and telling takes time
        trial.set_user_attr(RUNGS, told)
        self._study.tell(trial, self._values[key])


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Where a sampler's proposals come from; ``known.space`` has to be told.

    ``opening`` are different candidates that come before anything is asked.
    """

    rungs: tuple[int, ...]
    known: Knowledge
    candidate_of: Callable[[Params, int], Candidate]
    digest: Callable[[Params], str] = str
    opening: Sequence[Params] = ()

    def __call__(self, sampler: SamplerName, seed: int) -> Propose:
        return _Asked(source=self, sampler=sampler, seed=seed).propose


def _entries(epochs: Sequence[int], measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """What a job's study says of a trial's rungs."""
    pairs = zip(epochs, measured, strict=False)
    return [
        entry(epochs=each, values=comparison.values(one, OBJECTIVES), constraints={})
        for each, one in pairs
    ]
