"""Choose the next trial: of the owner with the fewest running, the job of the highest priority.

So every owner gets an equal share of the workers, however many jobs they have and whatever their
priorities. Of jobs of one owner and one priority the one with the fewest running trials is first,
and among equals the oldest.
"""

from __future__ import annotations

import uuid

from sqlalchemy import Integer, Select, bindparam, cast, exists, func, or_, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from featherweight.specs.protocol import Assignment, ClaimRequest, WorkerInfo
from featherweight.specs.states import AttemptState, JobState, TrialState
from store.access import secrets, turns
from store.attempts import assignments, workers
from store.database import clock, outages
from store.database.engines import POSTGRESQL_LIMITS_MS
from store.errors import JobNotFound
from store.jobs import jobs, transitions
from store.tables.records import AttemptRecord, JobRecord, TrialRecord


def claim(
    session: Session, request: ClaimRequest, *, lease_seconds: float, per_owner: int
) -> Assignment | None:
    """Lease one trial to the worker, or return None if there is nothing to do or nothing is free.

    A job that is locked by another transaction is skipped: a process that is frozen while holding
    one job does not block the claims of other jobs.

    A worker process runs one trial at a time. If it already has an active attempt, the answer to
    its last claim was lost: it gets that attempt again under a new token, and the old token becomes
    stale.

    Args:
        session: A writing transaction.
        request: Who asks.
        lease_seconds: How long the lease stands without a heartbeat, by the database's clock.
        per_owner: Most running trials of one owner; what nobody owns is not limited.
    """
    # Locks the worker's row first: a repeated claim waits here for the one it repeats.
    workers.seen(session, request.worker)
    token = secrets.new()
    attempt = _issue_again(session, request.worker, token, lease_seconds)
    if attempt is None:
        chosen = _choose(session, per_owner)
        if chosen is not None:
            attempt = _lease(session, *chosen, request.worker, token, lease_seconds)
    if attempt is None:
        return None
    return assignments.build(session, attempt, token=token, lease_seconds=lease_seconds)


def active_count(session: Session, job_id: str) -> int:
    """Return how many trials of the job are leased now."""
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


def _choose(session: Session, per_owner: int) -> tuple[JobRecord, TrialRecord] | None:
    """Return the next trial and its job, both locked."""
    passed_over: list[str] = []
    rooms: dict[str, bool | None] = {}
    for job_id, owner, busy in session.execute(_OPEN_JOBS, {"per_owner": per_owner}).all():
        if owner not in rooms:
            rooms[owner] = _has_room(session, owner, busy, per_owner)
        job = jobs.lock_if_free(session, job_id) if rooms[owner] else None
        trial = _first_waiting(session, job) if job else None
        if job and trial:
            return job, trial
        if job is None and rooms[owner] is not False:
            passed_over.append(job_id)
    # A report holds a job for milliseconds: the first are worth a short wait, no more.
    for job_id in passed_over[:_MOST_WAITED_FOR]:
        job = _lock_soon(session, job_id, per_owner)
        trial = _first_waiting(session, job) if job else None
        if job and trial:
            return job, trial
    return None


def _has_room(session: Session, owner: str, busy: int, per_owner: int) -> bool | None:
    """Return whether the owner may run one more trial, or None if another claim is deciding that.

    Far from the limit nobody needs a turn: few claims run at once without seeing each other.
    """
    if owner == "" or busy + _MOST_UNSEEN < per_owner:
        return True
    if not turns.take_if_free(session, _TRIALS, owner):
        return None
    return _num_running(session, owner) < per_owner


def _num_running(session: Session, owner: str) -> int:
    return int(session.execute(_RUNNING, {"owner": owner}).scalar_one())


def _lock_soon(session: Session, job_id: str, per_owner: int) -> JobRecord | None:
    """Return the locked job, or None if it or the turn of its owner is not free in 250 ms each."""
    try:
        with session.begin_nested():
            session.execute(_SHORT_WAIT)
            owner = jobs.get(session, job_id).owner
            if owner:
                turns.wait(session, _TRIALS, owner)
            job = jobs.lock(session, job_id)
            session.execute(_USUAL_WAIT)
    except JobNotFound:
        return None
    except OperationalError as error:
        if not outages.is_lock_timeout(error):
            raise
        return None
    return job if owner == "" or _num_running(session, owner) < per_owner else None


def open_jobs() -> Select[str, str, int]:
    """Select running jobs that have a waiting trial and room for it, in the order of their turns.

    Each row has the owner and the number of the owner's running trials. The parameter ``per_owner``
    is the maximum of these.
    """
    job, busy = UNFINISHED.c, BUSY_OF_OWNER
    waiting = exists().where(TrialRecord.job_id == job.id, TrialRecord.state == TrialState.WAITING)
    return (
        select(job.id, job.owner, busy)
        .select_from(UNFINISHED)
        .join(_OWNERS, _OWNERS.c.owner == job.owner)
        .where(
            job.state == JobState.RUNNING,
            waiting,
            job.parallel_trials > job.running,
            or_(job.owner == "", bindparam("per_owner") > busy),
        )
        .order_by(busy, job.priority.desc(), job.running, job.created_at, job.id)
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
_MOST_UNSEEN = 32
"""Claims of one owner that may run at once without seeing each other's trials.

A service has twelve threads for requests of workers. Nearer to the limit claims take turns.
"""
_TRIALS = "trials"
UNFINISHED = (
    select(
        JobRecord.id,
        JobRecord.owner,
        JobRecord.state,
        JobRecord.parallel_trials,
        JobRecord.priority,
        JobRecord.counts,
        JobRecord.created_at,
        _active(JobRecord.id).correlate(JobRecord).scalar_subquery().label("running"),
    )
    .where(JobRecord.finished_at.is_(None))
    .order_by(JobRecord.created_at, JobRecord.id)
    .cte("unfinished")
)
"""The columns of each unfinished job that a claim reads; no other job can have running trials.

They are in the order of the index of unfinished jobs, so that this index is the one that is read.
"""
_OWNERS = (
    select(UNFINISHED.c.owner, cast(func.sum(UNFINISHED.c.running), Integer).label("running"))
    .group_by(UNFINISHED.c.owner)
    .cte("owners")
)
BUSY_OF_OWNER = _OWNERS.c.running
"""The number of running trials of all jobs of the owner, used in ``open_jobs``."""
_RUNNING = select(func.coalesce(func.sum(UNFINISHED.c.running), 0)).where(
    UNFINISHED.c.owner == bindparam("owner")
)
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
