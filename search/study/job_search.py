"""The in-memory state of one job's search: the request, the space and the study."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

from compress.values.knobs import Scalar
from featherweight.specs.stopping import Controls
from search import sampling
from search.admission.bounds_filter import BoundsFilter
from search.phases.termination import Ending
from search.space.problem import Problem
from search.study import initial_design
from search.study.projection import StudyProjection

_STARTS_AT_ONCE = 4
"""Of this many long trials in parallel, hardly more than one ends before the next proposal."""


@dataclass(kw_only=True)
class JobSearch:
    """The search of a job whose study is open."""

    problem: Problem
    study: StudyProjection
    bounds: BoundsFilter | None
    """Constant for the job: it depends only on the measured baseline."""
    trial_macs: float = 0.0
    """MACs of one full training, by ``sampling.trial_macs``; 0 if unknown."""
    is_exhausted: bool = False
    ending: Ending | None = None
    looked_at: int = -1
    """The job's last event when ``ending`` was looked for; nothing changes without a new event."""

    def most_waiting(self, look_ahead: int) -> int:
        """Return how many candidates may wait for a worker.

        There are enough of them that no worker waits for a proposal. If trials take long, few are
        enough, and a candidate that is proposed later rests on more results.
        """
        parallel = self.problem.spec.budget.parallel_trials
        if self.trial_macs >= sampling.LONG_TRIAL_MACS:
            return max(1, parallel // _STARTS_AT_ONCE)
        return parallel + look_ahead

    @cached_property
    def controls(self) -> list[dict[str, Scalar]]:
        """The candidates to compare with: at most a third of the search trials.

        Random points that the job asks for come on top of that third.
        """
        asked, trials = self.problem.spec.controls, self.problem.spec.search_trials
        if not asked:
            return []
        share = asked.random if isinstance(asked, Controls) else 0.0
        num_random = max(1, math.floor(share * trials + 1e-9))
        most = trials // 3 + num_random - 1
        return [params for _, params in self.problem.space.controls(num_random=num_random)[:most]]

    def control_beside(self, known: Container[str]) -> dict[str, Scalar] | None:
        """Return the first control whose digest is not in ``known``, or None."""
        digests = zip(self._control_digests, self.controls, strict=True)
        return next((params for digest, params in digests if digest not in known), None)

    def given(self, known: Container[str]) -> tuple[str, dict[str, Scalar] | None]:
        """Return origin and values of the next candidate; None asks for the sampler's values.

        Controls come first, then the initial design from the profile.
        """
        control = self.control_beside(known)
        if control is not None:
            return "control", control
        designed = self.initial_design_beside(known)
        return ("sampler", None) if designed is None else ("allocation", designed)

    def initial_design_beside(self, known: Container[str]) -> dict[str, Scalar] | None:
        """Return the first candidate of the initial design that is not in ``known``, or None."""
        return next((p for digest, p in self._initial_design.items() if digest not in known), None)

    @cached_property
    def _initial_design(self) -> dict[str, dict[str, Scalar]]:
        """The initial design, digest to values: at most a third of the trials."""
        most = self.problem.spec.search_trials // 3
        found = initial_design.candidates(self.problem, count=most)
        return {self.problem.space.candidate(params).digest(): params for params in found}

    @cached_property
    def _control_digests(self) -> list[str]:
        return [self.problem.space.candidate(params).digest() for params in self.controls]
