"""What a job's study knows before its first trial: the trials of the jobs that it starts from."""

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
"""Samplers read their whole history for every proposal."""
_ENDED_WITH_VALUES = (TrialState.COMPLETE, TrialState.STOPPED)


def of(session: Session, job: JobRecord) -> list[TrialRecord]:
    """Finished search trials of the jobs whose space, model and data are this job's.

    In the order of the jobs and of their trials. Those jobs are over, so it is always the same;
    they can be deleted only after this one has ended.
    Trials that another revision of the engine measured than their job's baseline are left out.
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
