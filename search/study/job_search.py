"""A job as the searcher has it open: what was asked, the space, and the study."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property

from compress.techniques.candidate import Candidate
from compress.values.knobs import Scalar
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.stopping import Controls
from search import sampling
from search.admission.bounds_filter import Gate
from search.phases.termination import Ending
from search.space.space import Space
from search.study import initial_design
from search.study.projection import Proposal, StudyProjection

_STARTS_AT_ONCE = 4
"""Of so many long trials that run at once, hardly more than one ends before the next proposal."""


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A proposal of the study, and the candidate that its values make."""

    proposal: Proposal
    candidate: Candidate


@dataclass(kw_only=True)
class OpenJob:
    """A job whose study is open."""

    spec: JobSpec
    space: Space
    study: StudyProjection
    gate: Gate | None
    """Its baseline is measured, so this does not change."""
    baseline: Measurement | None
    """Of a job that is searched it is measured."""
    trial_macs: float = 0.0
    """What ``sampling.trial_macs`` says of its candidates; 0 if unknown."""
    is_exhausted: bool = False
    ending: Ending | None = None
    looked_at: int = -1
    """The job's event up to which ``ending`` was looked for: nothing changes without another."""

    def most_waiting(self, look_ahead: int) -> int:
        """How many candidates may wait for a worker.

        Enough that nobody waits for a proposal. Where trials take long few are enough, and each
        one proposed later knows more.
        """
        parallel = self.spec.budget.parallel_trials
        if self.trial_macs >= sampling.LONG_TRIAL_MACS:
            return max(1, parallel // _STARTS_AT_ONCE)
        return parallel + look_ahead

    @cached_property
    def controls(self) -> list[dict[str, Scalar]]:
        """Candidates to compare with: at most a third of the search trials.

        A share of random points that the job asks for comes on top of the third.
        """
        asked, trials = self.spec.controls, self.spec.search_trials
        if not asked:
            return []
        share = asked.random if isinstance(asked, Controls) else 0.0
        num_random = max(1, math.floor(share * trials + 1e-9))
        most = trials // 3 + num_random - 1
        return [params for _, params in self.space.controls(num_random=num_random)[:most]]

    def place(self, params: Mapping[str, Scalar]) -> Proposed:
        """A proposal of these values, which no sampler made. Raises LeadLost."""
        candidate = self.space.candidate(params)
        return Proposed(proposal=self.study.place(params), candidate=candidate)

    def control_beside(self, known: Container[str]) -> dict[str, Scalar] | None:
        """The first control whose candidate's digest is not among ``known``: none is left out."""
        digests = zip(self._control_digests, self.controls, strict=True)
        return next((params for digest, params in digests if digest not in known), None)

    def given(self, known: Container[str]) -> tuple[str, dict[str, Scalar] | None]:
        """Origin and values of the next candidate; the values are None where a sampler is to say.

        First what to compare with, then what a profile opens with.
        """
        control = self.control_beside(known)
        if control is not None:
            return "control", control
        opener = self.opener_beside(known)
        return ("sampler", None) if opener is None else ("allocation", opener)

    def opener_beside(self, known: Container[str]) -> dict[str, Scalar] | None:
        """The first candidate that the profile opens with and that is not among ``known``."""
        return next((p for digest, p in self._openers.items() if digest not in known), None)

    @cached_property
    def _openers(self) -> dict[str, dict[str, Scalar]]:
        """Digest to values of what a profile says is best: at most a third of the trials."""
        most = self.spec.search_trials // 3
        found = initial_design.candidates(self.spec, self.space, count=most, baseline=self.baseline)
        return {self.space.candidate(params).digest(): params for params in found}

    @cached_property
    def _control_digests(self) -> list[str]:
        return [self.space.candidate(params).digest() for params in self.controls]
