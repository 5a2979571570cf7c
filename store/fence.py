"""The fence: only the worker that holds an attempt's secret may change its trial."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState
from store import jobs, secrets, trials
from store.errors import AttemptNotFound, StaleAttempt
from store.tables import AttemptRecord, JobRecord, TrialRecord


@dataclass(frozen=True)
class Held:
    """An attempt with its trial and job, as they are now, all three rows locked."""

    job: JobRecord
    trial: TrialRecord
    attempt: AttemptRecord

    @property
    def is_active(self) -> bool:
        """Whether the lease still stands."""
        return self.attempt.state == AttemptState.ACTIVE


def check(session: Session, attempt_id: str, token: str) -> AttemptRecord:
    """The active attempt that this token opens, not locked.

    Raises:
        AttemptNotFound: no such attempt.
        StaleAttempt: it has ended, or the token is another's.
    """
    attempt = find(session, attempt_id)
    if attempt.state != AttemptState.ACTIVE or not secrets.matches(token, attempt.token_sha256):
        raise stale(attempt)
    return attempt


def hold(session: Session, attempt_id: str, token: str) -> Held:
    """Lock the attempt's job, trial and attempt; the caller looks at the attempt's state.

    Raises:
        AttemptNotFound: no such attempt.
        StaleAttempt: the token is another's.
    """
    held = lock(session, find(session, attempt_id))
    if not secrets.matches(token, held.attempt.token_sha256):
        raise stale(held.attempt)
    return held


def lock(session: Session, attempt: AttemptRecord) -> Held:
    """Lock the three rows, in the order of ``store.session``."""
    job = jobs.lock(session, attempt.job_id)
    trial = trials.lock(session, attempt.trial_id)
    fresh = select(AttemptRecord).where(AttemptRecord.id == attempt.id).with_for_update()
    attempt = session.scalars(fresh, execution_options={"populate_existing": True}).one()
    return Held(job, trial, attempt)


def find(session: Session, attempt_id: str) -> AttemptRecord:
    """The attempt; raises AttemptNotFound."""
    attempt = session.get(AttemptRecord, attempt_id)
    if attempt is None:
        raise AttemptNotFound(f"no attempt {attempt_id}")
    return attempt


def stale(attempt: AttemptRecord) -> StaleAttempt:
    """The error that tells a worker to drop its trial."""
    return StaleAttempt(
        f"attempt {attempt.id} is {attempt.state} or was handed out again: drop the trial"
    )
