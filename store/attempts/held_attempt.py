"""The fence: only the worker that holds the secret of an attempt may change its trial."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState
from store.access import secrets
from store.errors import AttemptNotFound, StaleAttempt
from store.tables.records import AttemptRecord, JobRecord, TrialRecord

_HELD = (
    select(JobRecord, TrialRecord, AttemptRecord)
    .select_from(AttemptRecord)
    .join(TrialRecord, TrialRecord.id == AttemptRecord.trial_id)
    .join(JobRecord, JobRecord.id == AttemptRecord.job_id)
    .where(AttemptRecord.id == bindparam("attempt"))
    .with_for_update(of=[JobRecord, TrialRecord, AttemptRecord], key_share=True)
)


@dataclass(frozen=True)
class HeldAttempt:
    """An attempt with its trial and job, all three rows freshly read and locked."""

    job: JobRecord
    trial: TrialRecord
    attempt: AttemptRecord

    @property
    def is_active(self) -> bool:
        """Whether the lease is still valid."""
        return self.attempt.state == AttemptState.ACTIVE


def check(session: Session, attempt_id: str, token: str) -> AttemptRecord:
    """Return the active attempt that this token opens, without locking it.

    Raises:
        AttemptNotFound: no such attempt.
        StaleAttempt: it has ended, or the token is another's.
    """
    attempt = find(session, attempt_id)
    if attempt.state != AttemptState.ACTIVE or not secrets.matches(token, attempt.token_sha256):
        raise stale(attempt)
    return attempt


def hold(session: Session, attempt_id: str, token: str) -> HeldAttempt:
    """Lock the attempt's job, trial and attempt; the caller looks at the attempt's state.

    Raises:
        AttemptNotFound: no such attempt.
        StaleAttempt: the token is another's.
    """
    held = lock(session, attempt_id)
    if not secrets.matches(token, held.attempt.token_sha256):
        raise stale(held.attempt)
    return held


def lock(session: Session, attempt_id: str) -> HeldAttempt:
    """Lock the three rows in one statement, in the order of ``store.session``.

    PostgreSQL locks the rows of a result in the order of ``OF``, each in its newest version.

    Raises:
        AttemptNotFound: no such attempt.
    """
    row = session.execute(
        _HELD, {"attempt": attempt_id}, execution_options={"populate_existing": True}
    ).one_or_none()
    if row is None:
        raise AttemptNotFound(f"no attempt {attempt_id}")
    return HeldAttempt(*row)


def find(session: Session, attempt_id: str) -> AttemptRecord:
    """Return the attempt. Raises AttemptNotFound."""
    attempt = session.get(AttemptRecord, attempt_id)
    if attempt is None:
        raise AttemptNotFound(f"no attempt {attempt_id}")
    return attempt


def stale(attempt: AttemptRecord) -> StaleAttempt:
    """Return the error that tells a worker to drop its trial."""
    return StaleAttempt(
        f"attempt {attempt.id} is {attempt.state} or was handed out again: drop the trial"
    )
