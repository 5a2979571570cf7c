"""How attempts end, and what becomes of their trials."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.protocol import AttemptResult, Failure
from featherweight.specs.states import (
    RETRIES,
    AttemptState,
    FailureClass,
    JobState,
    StopReason,
    TrialState,
)
from store import clock, fence, rungs, transitions
from store.errors import Conflict
from store.fence import Held
from store.rungs import Reached
from store.tables import AttemptRecord, JobRecord


def end_if_decided(session: Session, held: Held, reached: Reached) -> None:
    """End the trial and its attempt, if the rung just reached says how."""
    if _end_as_decided(session, held, reached):
        transitions.move_attempt(held.attempt, AttemptState.DELIVERED)


def complete(session: Session, attempt_id: str, token: str) -> AttemptResult:
    """End the trial as its last report decided.

    That report has ended it already, so this changes nothing but for a trial of a cancelled job,
    which a worker may end with what it has.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
        Conflict: no report ended the trial, and the job was not cancelled.
    """
    held = fence.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.DELIVERED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise fence.stale(held.attempt)
    if not _settle(session, held):
        _complete_early(session, held)
    transitions.move_attempt(held.attempt, AttemptState.DELIVERED)
    return _result(held)


def fail(session: Session, attempt_id: str, token: str, failure: Failure) -> AttemptResult:
    """Record a failure: the trial waits for another try, or it is quarantined as failed.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
    """
    held = fence.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.DELIVERED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise fence.stale(held.attempt)
    detail = f"{failure.failure_class}: {failure.message}"
    transitions.move_attempt(held.attempt, AttemptState.DELIVERED, detail=detail)
    _fail_trial(session, held, failure.failure_class, failure.message)
    return _result(held)


def release(session: Session, attempt_id: str, token: str) -> AttemptResult:
    """Give the trial back, uncounted: a worker that stops gracefully. A repeat changes nothing.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
    """
    held = fence.hold(session, attempt_id, token)
    if held.attempt.state == AttemptState.RELEASED:
        return _result(held, repeated=True)
    if not held.is_active:
        raise fence.stale(held.attempt)
    transitions.move_attempt(held.attempt, AttemptState.RELEASED)
    if not _settle(session, held):
        _put_back(session, held, "given back by its worker")
    return _result(held)


def reap(session: Session) -> int:
    """Expire every lease that is over by the database's clock; how many there were."""
    return sum(_expire(session, fence.lock(session, overdue)) for overdue in _overdue(session))


def _overdue(session: Session) -> Sequence[str]:
    query = (
        select(AttemptRecord.id)
        .join(JobRecord, JobRecord.id == AttemptRecord.job_id)
        .where(
            AttemptRecord.state == AttemptState.ACTIVE, AttemptRecord.lease_until < clock.db_now()
        )
        .order_by(JobRecord.created_at, JobRecord.id, AttemptRecord.started_at)
    )
    return session.scalars(query).all()


def _expire(session: Session, held: Held) -> bool:
    # Looked at again under the lock: a heartbeat may have come in between.
    if not held.is_active or held.attempt.lease_until >= clock.now(session):
        return False
    detail = f"no sign of life from {held.attempt.worker} before the lease ended"
    transitions.move_attempt(held.attempt, AttemptState.EXPIRED, detail=detail)
    _fail_trial(session, held, FailureClass.LOST_WORKER, detail)
    return True


def _fail_trial(session: Session, held: Held, kind: FailureClass, message: str) -> None:
    if _settle(session, held):
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


def _put_back(session: Session, held: Held, reason: str) -> None:
    if held.job.state == JobState.STOPPING:
        _stop(session, held, held.job.stop_reason or "")
    else:
        transitions.move_trial(session, held.job, held.trial, TrialState.WAITING, reason=reason)


def _stop(session: Session, held: Held, reason: str) -> None:
    transitions.move_trial(
        session, held.job, held.trial, TrialState.STOPPED, reason=reason, news=_last(held)
    )


def _settle(session: Session, held: Held) -> bool:
    """End a trial whose last report decided how, and was kept by a version that waited."""
    last = rungs.last(session, held.trial)
    return last is not None and _end_as_decided(session, held, last)


def _end_as_decided(session: Session, held: Held, last: Reached) -> bool:
    if not rungs.is_decided(held.trial, last):
        return False
    to, reason = _end(held, last)
    transitions.move_trial(session, held.job, held.trial, to, reason=reason, news=_last(held))
    return True


def _end(held: Held, last: Reached) -> tuple[TrialState, str]:
    is_last = last.rung == len(held.trial.rungs) - 1
    state = TrialState.COMPLETE if is_last else TrialState.STOPPED
    return state, last.decision.reason


def _last(held: Held) -> dict[str, object]:
    measurement = held.trial.measurement
    if measurement is None:
        return {}
    return {
        "rung": held.trial.rung,
        "accuracy": measurement["accuracy"]["validation"],
        "size_bytes": measurement["size_bytes"],
    }


def _complete_early(session: Session, held: Held) -> None:
    if held.job.stop_reason != StopReason.CANCELLED:
        raise Conflict(
            f"trial {held.trial.id} cannot be completed: no report of a rung has ended it"
        )
    _stop(session, held, StopReason.CANCELLED)


def _result(held: Held, *, repeated: bool = False) -> AttemptResult:
    return AttemptResult(trial=held.trial.id, state=held.trial.state, repeated=repeated)
