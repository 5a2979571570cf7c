"""Rebuild a study from our tables."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.storages import RDBStorage
from sqlalchemy.orm import Session

from featherweight.specs.states import Phase, TrialState
from search.errors import SearcherRunning
from search.space.problem import Problem
from search.space.stored_problem import problem_of
from search.study import frozen, history
from search.study.frozen import Measured
from search.study.projection import StudyProjection, proposed
from search.study.storage import close_storage, open_storage
from store.cluster import leader
from store.jobs import jobs
from store.session import Database
from store.tables.records import JobRecord, TrialRecord
from store.trials import rungs, trials

_LEASE_SECONDS = 600.0


def rebuild(database: Database, study_url: str, job_id: str) -> int:
    """Delete the job's study and make it again; return how many of the job's trials it has.

    Trials of other jobs are restored too, and not counted. No searcher may run in the meantime, so
    this holds the searcher's lease.

    Raises:
        SearcherRunning: A searcher runs, or was killed less than its lease ago.
        JobNotFound: There is no such job.
    """
    holder = f"rebuild-{uuid.uuid4()}"
    with database.write() as session:
        if not leader.take(session, holder, lease_seconds=_LEASE_SECONDS):
            raise SearcherRunning("a searcher is running: stop it and try again")
    storage = open_storage(study_url)
    try:
        return _rebuild(database, storage, job_id)
    finally:
        close_storage(storage)
        with database.write() as session:
            leader.resign(session, holder)


@dataclass(frozen=True, kw_only=True)
class SourceHistory:
    """The trials of other jobs that a job's study knows, with their measurements."""

    rows: Sequence[TrialRecord]
    measured: Measured


def history_of(session: Session, job: JobRecord) -> SourceHistory:
    """Read what the job's study knows from other jobs."""
    rows = history.of(session, job)
    return SourceHistory(rows=rows, measured=measured_of(session, job, rows))


def open_study(
    storage: RDBStorage, job: JobRecord, problem: Problem, earlier: SourceHistory
) -> StudyProjection:
    """Open the job's study; this may take seconds, so no transaction of ours should be open."""
    known = [frozen.prior(row, problem, earlier.measured) for row in earlier.rows]
    prior = [trial for trial in known if trial is not None]
    return StudyProjection(storage, job_id=job.id, problem=problem, prior=prior)


def measured_of(session: Session, job: JobRecord, rows: Sequence[TrialRecord]) -> Measured:
    """Read what is needed to tell the outcomes of these trials."""
    return Measured(baseline=jobs.baseline(job), curves=rungs.curves(session, rows))


def note(session: Session, rows: list[TrialRecord], numbers: Mapping[str, int]) -> None:
    """Record the number of each trial in the study, and that the study knows their ends."""
    inside = proposed(rows)
    for row in inside:
        trials.set_study_number(session, row.id, numbers[row.id])
    over = [row for row in inside if TrialState(row.state).is_finished]
    if over:
        trials.mark_reported(session, over[0].job_id, [row.id for row in over])


def _rebuild(database: Database, storage: RDBStorage, job_id: str) -> int:
    with database.read() as session:
        job = jobs.get(session, job_id)
        problem = problem_of(session, job)
        rows = trials.of_job(session, job_id, phase=Phase.SEARCH)
        measured = measured_of(session, job, rows)
        earlier = history_of(session, job)
    study = open_study(storage, job, problem, earlier)
    numbers = study.refill(rows, measured)
    with database.write() as session:
        note(session, rows, numbers)
    return len(numbers)
