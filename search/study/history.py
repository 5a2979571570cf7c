"""The trials of other jobs that a job's study knows before its own first trial."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from featherweight.specs.states import Phase, TrialState
from store.errors import JobNotFound
from store.jobs import jobs, warm_starts
from store.tables.records import JobRecord, TrialRecord
from store.trials import trials
from store.trials.revisions import revision_of

MOST_PRIOR = 1000
"""Most trials of other jobs: samplers read their whole history for every proposal."""
_ENDED_WITH_VALUES = (TrialState.COMPLETE, TrialState.STOPPED)


def of(session: Session, job: JobRecord) -> list[TrialRecord]:
    """Return the finished search trials of source jobs with this job's space, model and data.

    They are in the order of the jobs and of their trials. Those jobs are over and cannot be deleted
    before this one has ended, so the result is always the same. Trials that were measured by
    another revision of the engine than their job's baseline are left out.
    """
    found = [
        row
        for source in warm_starts.sources(session, job.id)
        if source.is_history
        for row in _comparable(session, source.source_id)
    ]
    return found[:MOST_PRIOR]


def _comparable(session: Session, source_id: str) -> Iterator[TrialRecord]:
    try:
        baseline = jobs.get(session, source_id).baseline
    except JobNotFound:
        return
    for row in trials.of_job(session, source_id, phase=Phase.SEARCH):
        if _is_known(row) and revision_of(row.measurement) == revision_of(baseline):
            yield row


def _is_known(row: TrialRecord) -> bool:
    return (
        row.params is not None
        and row.measurement is not None
        and row.origin != trials.RERUN
        and row.state in _ENDED_WITH_VALUES
    )
