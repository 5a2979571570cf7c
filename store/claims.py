"""Claims: the oldest waiting trial of the oldest job that may run one more."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, bindparam, exists, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from featherweight.specs.protocol import Assignment, ClaimRequest, WorkerInfo
from featherweight.specs.states import AttemptState, JobState, TrialState
from store import assignments, clock, jobs, outages, secrets, transitions, workers
from store.engines import POSTGRESQL_LIMITS_MS
from store.tables import AttemptRecord, JobRecord, TrialRecord


def claim(session: Session, request: ClaimRequest, *, lease_seconds: float) -> Assignment | None:
    """Lease one trial to the worker; None when there is nothing to do, or nothing free.

    A job that another transaction holds is passed over: whoever is frozen within one stops the
    claims of no other job.

    A worker process runs one trial at a time. If it has an active attempt already, the answer to
    its last claim was lost: it gets that attempt again under a new token, and the old one is stale.

    Args:
        session: A writing transaction.
        request: Who asks.
        lease_seconds: How long the lease stands without a heartbeat, by the database's clock.
    """
    # Locks the worker's row first: a repeated claim waits here for the one it repeats.
    workers.seen(session, request.worker)
    token = secrets.new()
    attempt = _issue_again(session, request.worker, token, lease_seconds)
    if attempt is None:
        attempt = _take(session, request.worker, token, lease_seconds)
    if attempt is None:
        return None
    return assignments.build(session, attempt, token=token, lease_seconds=lease_seconds)


def active_count(session: Session, job_id: str) -> int:
    """How many trials of the job are leased now."""
    return session.execute(_active(job_id)).scalar_one()


def _active(job_id: object) -> Select[int]:
    return (
        select(func.count())
        .select_from(AttemptRecord)
        .where(AttemptRecord.job_id == job_id, AttemptRecord.state == AttemptState.ACTIVE)
    )


def _issue_again(
    session: Session, worker: WorkerInfo, token: str, lease_seconds: float
) -> AttemptRecord | None:
    found = session.scalars(
        _HAS_ALREADY, {"boot": worker.boot_id}, execution_options={"populate_existing": True}
    )
    attempt = found.one_or_none()
    if attempt is not None:
        attempt.token_sha256 = secrets.digest(token)
        attempt.lease_until = clock.db_now() + lease_seconds
        attempt.lease_seconds = lease_seconds
    return attempt


def _take(
    session: Session, worker: WorkerInfo, token: str, lease_seconds: float
) -> AttemptRecord | None:
    held: list[str] = []
    for job_id in session.scalars(_OPEN_JOBS).all():
        job = jobs.lock_if_free(session, job_id)
        if job is None:
            held.append(job_id)
            continue
        trial = _first_waiting(session, job)
        if trial is not None:
            return _lease(session, job, trial, worker, token, lease_seconds)
    # A report holds a job for milliseconds: the oldest are worth a short wait, no more.
    for job_id in held[:_MOST_WAITED_FOR]:
        job = _lock_soon(session, job_id)
        trial = _first_waiting(session, job) if job else None
        if job and trial:
            return _lease(session, job, trial, worker, token, lease_seconds)
    return None


def _lock_soon(session: Session, job_id: str) -> JobRecord | None:
    """The job, locked, if that can be had within a quarter of a second."""
    try:
        with session.begin_nested():
            session.execute(_SHORT_WAIT)
            job = jobs.lock(session, job_id)
            session.execute(_USUAL_WAIT)
            return job
    except OperationalError as error:
        if not outages.is_lock_timeout(error):
            raise
        return None


def open_jobs() -> Select[str]:
    """Ids of running jobs that have a waiting trial and room for it, oldest first."""
    waiting = exists().where(
        TrialRecord.job_id == JobRecord.id, TrialRecord.state == TrialState.WAITING
    )
    busy = _active(JobRecord.id).correlate(JobRecord).scalar_subquery()
    return (
        select(JobRecord.id)
        .where(JobRecord.state == JobState.RUNNING, waiting, busy < JobRecord.parallel_trials)
        .order_by(JobRecord.created_at, JobRecord.id)
    )


def _first_waiting(session: Session, job: JobRecord) -> TrialRecord | None:
    # Looked at again, now that nobody else can change it.
    if job.state != JobState.RUNNING:
        return None
    found = session.scalars(
        _FIRST_WAITING,
        {"job": job.id, "parallel": job.parallel_trials},
        execution_options={"populate_existing": True},
    )
    return found.one_or_none()


def _lease(
    session: Session,
    job: JobRecord,
    trial: TrialRecord,
    worker: WorkerInfo,
    token: str,
    lease_seconds: float,
) -> AttemptRecord:
    attempt = AttemptRecord(
        id=str(uuid.uuid4()),
        trial_id=trial.id,
        job_id=job.id,
        worker=worker.name,
        boot_id=worker.boot_id,
        state=AttemptState.ACTIVE,
        token_sha256=secrets.digest(token),
        lease_until=clock.db_now() + lease_seconds,
        lease_seconds=lease_seconds,
        started_at=clock.utc_now(),
    )
    session.add(attempt)
    trial.num_attempts += 1
    transitions.move_trial(session, job, trial, TrialState.RUNNING, news={"worker": worker.name})
    return attempt


_MOST_WAITED_FOR = 2
_SHORT_WAIT = text("SET LOCAL lock_timeout = 250")
_USUAL_WAIT = text(f"SET LOCAL lock_timeout = {POSTGRESQL_LIMITS_MS['lock_timeout']}")
_HAS_ALREADY = (
    select(AttemptRecord)
    .where(AttemptRecord.boot_id == bindparam("boot"), AttemptRecord.state == AttemptState.ACTIVE)
    .with_for_update(key_share=True)
)
_OPEN_JOBS = open_jobs()
_FIRST_WAITING = (
    select(TrialRecord)
    .where(
        TrialRecord.job_id == bindparam("job"),
        TrialRecord.state == TrialState.WAITING,
        _active(bindparam("job")).scalar_subquery() < bindparam("parallel"),
    )
    .order_by(TrialRecord.number)
    .limit(1)
    .with_for_update(skip_locked=True, key_share=True)
)
