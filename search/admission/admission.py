"""The admission check of a job at this moment, with the files measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.states import Phase
from search.admission.bounds_filter import BoundsFilter, Rejection
from store.tables.records import JobRecord
from store.trials import ended_trials


@dataclass(frozen=True, kw_only=True)
class Admission:
    """The check that a new candidate passes before it becomes a trial.

    ``bounds`` is None if nothing is known of candidates beforehand; every candidate passes then.
    ``files`` are the measurements that are accurate enough to keep a candidate out.
    """

    bounds: BoundsFilter | None
    files: Sequence[Measurement]

    def rejection(self, candidate: Candidate) -> Rejection | None:
        """Return why the candidate is not tried, or None if it is."""
        return None if self.bounds is None else self.bounds.rejection(candidate, self.files)

    def admits(self, candidate: Candidate) -> bool:
        """Return whether the candidate may still enter the front."""
        return self.rejection(candidate) is None


def of(session: Session, job: JobRecord, bounds: BoundsFilter | None) -> Admission:
    """Read the job's measured files and build its admission check."""
    if bounds is None:
        return Admission(bounds=None, files=())
    tried = ended_trials.measured(session, job.id, phase=Phase.SEARCH)
    files = [bounds.baseline, *(each for trial in tried for each in trial.measurements)]
    good = [file for file in files if file.score() >= bounds.best_score]
    return Admission(bounds=bounds, files=good)
