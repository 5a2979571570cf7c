"""End attempts, and decide what becomes of their trials."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.protocol import AttemptResult, Failure
from featherweight.specs.states import (
    RETRIES,
    AttemptState,
    FailureClass,
    JobState,
    StopReason,
    TrialState,
)
from store.attempts import faults, held_attempt, losses
from store.attempts.held_attempt import HeldAttempt
from store.attempts.scores import told
from store.database import clock
from store.errors import Conflict
from store.jobs import jobs, transitions
from store.tables.records import AttemptRecord, JobRecord, RungRecord
from store.trials import rungs
from store.trials.rungs import RungDecision

USUAL_LEASE_SECONDS = 15.0
"""Length of a lease granted by an older version, which did not store it."""
_CLIMBED = select(
    exists().where(
        RungRecord.trial_id == bindparam("trial"), RungRecord.created_at >= bindparam("since")
    )
)
_HOUSE_FAULTS = frozenset({FailureClass.LOST_WORKER, FailureClass.INFRASTRUCTURE})


def end_if_decided(session: Session, held: HeldAttempt, reached: RungDecision) -> None:
    """End the trial and its attempt if the rung just reached decides it, and free the worker."""
    faults.forget(session, held.attempt.worker)
    if _end_as_decided(session, held, reached):
        transitions.move_attempt(held.attempt, AttemptState.DELIVERED)


def complete(session: Session, attempt_id: str, token: str) -> AttemptResult:
    """End the trial as its last report decided.

    That report has already ended it, so this changes nothing, except for a trial of a cancelled
    job, which a worker may end with what it has.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
        Conflict: no report ended the trial, and the job was not cancelled.
    """
    held = held_attempt.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.DELIVERED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise held_attempt.stale(held.attempt)
    if not _settle(session, held):
        _complete_early(session, held)
    transitions.move_attempt(held.attempt, AttemptState.DELIVERED)
    return _result(held)


def fail(session: Session, attempt_id: str, token: str, failure: Failure) -> AttemptResult:
    """Record a failure: the trial waits for another try, or is quarantined as failed.

    If the store has lost a file, the trial is not to blame: its job is paused.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
        FileMismatch: the trial does not need the file that is said to be lost.
    """
    held = held_attempt.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.DELIVERED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise held_attempt.stale(held.attempt)
    detail = f"{failure.failure_class}: {failure.message}"
    transitions.move_attempt(held.attempt, AttemptState.DELIVERED, detail=detail)
    if failure.failure_class is FailureClass.FILE_LOST:
        _lose_file(session, held, failure)
        return _result(held)
    _fail_trial(session, held, failure.failure_class, failure.message)
    return _result(held)


def release(session: Session, attempt_id: str, token: str) -> AttemptResult:
    """Give the trial back, uncounted, for a worker that stops. Repeating changes nothing.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
    """
    held = held_attempt.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.RELEASED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise held_attempt.stale(held.attempt)
    transitions.move_attempt(held.attempt, AttemptState.RELEASED)
    if not _settle(session, held):
        _put_back(session, held, "given back by its worker")
    return _result(held)


def reap(session: Session, *, job_id: str | None = None, heard_since: float = 0.0) -> int:
    """Expire every lease that is over by the database clock. Returns how many there were.

    A job whose row is locked by somebody else is skipped. ``store.cluster.reaper`` calls this job
    by job, each in a transaction of its own. ``heard_since`` is as in ``overdue_by_job``.
    """
    overdue = overdue_by_job(session, heard_since=heard_since)
    wanted = overdue if job_id is None else overdue.keys() & {job_id}
    return sum(_reap_job(session, job, overdue[job]) for job in overdue if job in wanted)


def overdue_by_job(session: Session, *, heard_since: float = 0.0) -> dict[str, list[str]]:
    """Return the attempts whose lease is over, by job, oldest job first.

    Only attempts count whose worker could have been heard for a whole lease: ``heard_since`` is the
    time, by the database clock, since which nothing stood in the way.
    """
    had_its_chance = clock.db_now() - heard_since
    lease = func.coalesce(AttemptRecord.lease_seconds, USUAL_LEASE_SECONDS)
    query = (
        select(AttemptRecord.job_id, AttemptRecord.id)
        .join(JobRecord, JobRecord.id == AttemptRecord.job_id)
        .where(
            AttemptRecord.state == AttemptState.ACTIVE,
            AttemptRecord.lease_until < clock.db_now(),
            had_its_chance >= lease,
        )
        .order_by(JobRecord.created_at, JobRecord.id, AttemptRecord.started_at)
    )
    found: dict[str, list[str]] = {}
    for job_id, attempt_id in session.execute(query):
        found.setdefault(job_id, []).append(attempt_id)
    return found


def _reap_job(session: Session, job_id: str, overdue: Sequence[str]) -> int:
    if jobs.lock_if_free(session, job_id) is None:
        return 0
    return sum(_expire(session, held_attempt.lock(session, attempt)) for attempt in overdue)


def _expire(session: Session, held: HeldAttempt) -> bool:
    # Looked at again under the lock: a heartbeat may have come in between.
    if not held.is_active or held.attempt.lease_until >= clock.now(session):
        return False
    detail = f"no sign of life from {held.attempt.worker} before the lease ended"
    transitions.move_attempt(held.attempt, AttemptState.EXPIRED, detail=detail)
    _fail_trial(session, held, FailureClass.LOST_WORKER, detail)
    return True


def _fail_trial(session: Session, held: HeldAttempt, kind: FailureClass, message: str) -> None:
    if _settle(session, held):
        return
    is_climbing = _has_climbed(session, held)
    if not is_climbing:
        faults.note(session, held, kind, message)
    if is_climbing and kind in _HOUSE_FAULTS:
        # It makes progress each time, for example on a preemptible machine: nothing is counted.
        _put_back(session, held, f"{kind}: {message}")
        return
    failures = {**held.trial.failures, kind: held.trial.failures.get(kind, 0) + 1}
    held.trial.failures = failures
    if failures[kind] <= RETRIES[kind]:
        _put_back(session, held, f"{kind}: {message}")
        return
    held.trial.failure_class = kind
    news = {"failure_class": kind}
    transitions.move_trial(
        session, held.job, held.trial, TrialState.FAILED, reason=message, news=news
    )


def _has_climbed(session: Session, held: HeldAttempt) -> bool:
    """Return whether this attempt has reached a rung that the trial did not have before."""
    since = {"trial": held.trial.id, "since": held.attempt.started_at}
    return session.execute(_CLIMBED, since).scalar_one()


def _lose_file(session: Session, held: HeldAttempt, failure: Failure) -> None:
    what = losses.pause(session, held, failure)
    if not _settle(session, held):
        _put_back(session, held, f"{failure.failure_class}: {what}")


def _put_back(session: Session, held: HeldAttempt, reason: str) -> None:
    if held.job.state == JobState.STOPPING:
        _stop(session, held, held.job.stop_reason or "")
    else:
        transitions.move_trial(session, held.job, held.trial, TrialState.WAITING, reason=reason)


def _stop(session: Session, held: HeldAttempt, reason: str) -> None:
    transitions.move_trial(
        session, held.job, held.trial, TrialState.STOPPED, reason=reason, news=_last(held)
    )


def _settle(session: Session, held: HeldAttempt) -> bool:
    """End a trial whose last report decided its end and was stored by a version that waited."""
    last = rungs.last(session, held.trial)
    return last is not None and _end_as_decided(session, held, last)


def _end_as_decided(session: Session, held: HeldAttempt, last: RungDecision) -> bool:
    if not rungs.is_decided(held.trial, last):
        return False
    to, reason = _end(held, last)
    transitions.move_trial(session, held.job, held.trial, to, reason=reason, news=_last(held))
    return True


def _end(held: HeldAttempt, last: RungDecision) -> tuple[TrialState, str]:
    is_last = last.rung == len(held.trial.rungs) - 1
    state = TrialState.COMPLETE if is_last else TrialState.STOPPED
    return state, last.decision.reason


def _last(held: HeldAttempt) -> dict[str, object]:
    measurement = held.trial.measurement
    if measurement is None:
        return {}
    return {
        "rung": held.trial.rung,
        **told(Measurement.model_validate(measurement)),
        "size_bytes": measurement["size_bytes"],
    }


def _complete_early(session: Session, held: HeldAttempt) -> None:
    if held.job.stop_reason != StopReason.CANCELLED:
        raise Conflict(
            f"trial {held.trial.id} cannot be completed: no report of a rung has ended it"
        )
    _stop(session, held, StopReason.CANCELLED)


def _result(held: HeldAttempt, *, repeated: bool = False) -> AttemptResult:
    return AttemptResult(trial=held.trial.id, state=held.trial.state, repeated=repeated)
