"""Attempts: leases of trials to workers, and the store's whole worker protocol in one place.

Every call checks the fence: the attempt must be active and the token's hash equal; otherwise it
raises StaleAttempt.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from featherweight.specs.protocol import Heartbeat, HeartbeatReply
from featherweight.specs.states import AttemptState, JobState, StopReason
from store.access import secrets
from store.attempts import held_attempt, workers
from store.attempts.claims import active_count, claim
from store.attempts.held_attempt import check
from store.attempts.outcomes import complete, fail, reap, release
from store.attempts.reports import report
from store.database import clock
from store.tables.records import AttemptRecord, JobRecord, table_of

__all__ = [
    "active_count",
    "check",
    "claim",
    "complete",
    "fail",
    "heartbeat",
    "of_trial",
    "reap",
    "release",
    "report",
]

_ATTEMPTS = table_of(AttemptRecord)
_EXTEND = (
    update(_ATTEMPTS)
    .where(
        _ATTEMPTS.c.id == bindparam("attempt"),
        _ATTEMPTS.c.state == AttemptState.ACTIVE,
        _ATTEMPTS.c.token_sha256 == bindparam("secret"),
    )
    .values(
        lease_until=clock.db_now() + bindparam("seconds"),
        lease_seconds=bindparam("seconds"),
        progress=bindparam("beat"),
    )
    .returning(_ATTEMPTS.c.id)
)


def heartbeat(
    session: Session, attempt_id: str, token: str, beat: Heartbeat, *, lease_seconds: float
) -> HeartbeatReply:
    """Extend the lease, keep the progress, and tell the worker if it should stop.

    Raises:
        AttemptNotFound: no such attempt.
        StaleAttempt: the worker does not own the attempt any more.
    """
    attempt = held_attempt.find(session, attempt_id)
    workers.touch(session, attempt.boot_id)
    wanted = {
        "attempt": attempt_id,
        "secret": secrets.digest(token),
        "seconds": lease_seconds,
        "beat": beat.model_dump(mode="json"),
    }
    if session.scalar(_EXTEND, wanted) is None:
        raise held_attempt.stale(attempt)
    return HeartbeatReply(lease_seconds=lease_seconds, stop=_stop(session, attempt.job_id))


def _stop(session: Session, job_id: str) -> str | None:
    job = session.get_one(JobRecord, job_id)
    is_cancelled = job.state == JobState.STOPPING and job.stop_reason == StopReason.CANCELLED
    return StopReason.CANCELLED.value if is_cancelled else None


def of_trial(session: Session, trial_id: str) -> list[AttemptRecord]:
    """Return all attempts at the trial, oldest first."""
    query = select(AttemptRecord).where(AttemptRecord.trial_id == trial_id)
    return list(session.scalars(query.order_by(AttemptRecord.started_at, AttemptRecord.id)))
