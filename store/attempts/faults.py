"""Set workers that fail again and again aside for a growing time, so that they burn no trials.

Workers are known by name, as a broken machine gets a new boot id at every start. Times are those of
the database clock.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, exists, select
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState, FailureClass
from store.attempts.held_attempt import HeldAttempt
from store.database import clock
from store.database.upserts import insert_new
from store.tables.records import AttemptRecord, WorkerFaultRecord

PATIENCE = 3
"""Failures in a row before a worker is set aside."""
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 300.0
_FORGOTTEN_SECONDS = 900.0
"""A failure this long after the last one begins a new series."""
_LONGEST_REASON = 500
_ALWAYS = frozenset({FailureClass.LOST_WORKER, FailureClass.INFRASTRUCTURE})
_LOCKED = (
    select(WorkerFaultRecord)
    .where(WorkerFaultRecord.name == bindparam("worker"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_FORGET = delete(WorkerFaultRecord).where(WorkerFaultRecord.name == bindparam("worker"))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A worker gets no trial until ``until``, in seconds since 1970 by the database clock."""

    until: float
    reason: str


def note(session: Session, held: HeldAttempt, kind: FailureClass, message: str) -> None:
    """Count a failure of an attempt that has reached no new rung. The job's row must be locked."""
    if kind in _ALWAYS or (kind is FailureClass.BUG and _others_can(session, held)):
        _count(session, held.attempt.worker, f"{kind}: {message}"[:_LONGEST_REASON])


def forget(session: Session, worker: str) -> None:
    """End the worker's series of failures because it has reached a rung."""
    session.execute(_FORGET, {"worker": worker})


def set_aside(session: Session, worker: str) -> SetAside | None:
    """Return why and until when the worker gets no trial, or None if it may get one."""
    return all_set_aside(session, [worker]).get(worker)


def all_set_aside(session: Session, workers: Collection[str]) -> Mapping[str, SetAside]:
    """Return the workers among these that get no trial now, by name."""
    query = select(WorkerFaultRecord).where(
        WorkerFaultRecord.name.in_(workers),
        WorkerFaultRecord.set_aside_until > clock.db_now(),
        # Nobody is set aside for longer: then the clock was set back.
        WorkerFaultRecord.set_aside_until <= clock.db_now() + _LONGEST_SECONDS + 1.0,
    )
    return {
        fault.name: SetAside(until=fault.set_aside_until, reason=fault.reason)
        for fault in session.scalars(query)
    }


def _count(session: Session, worker: str, reason: str) -> None:
    now = clock.now(session)
    new = {"name": worker, "in_a_row": 0, "set_aside_until": now, "reason": reason}
    insert_new(session, WorkerFaultRecord, new)
    fault = session.scalars(_LOCKED, {"worker": worker}).one()
    is_old = now - fault.set_aside_until > _FORGOTTEN_SECONDS
    fault.in_a_row = 1 if is_old else fault.in_a_row + 1
    seconds = _seconds(fault.in_a_row)
    fault.set_aside_until, fault.reason = now + seconds, reason
    if seconds:
        words = "worker %s is set aside for %.0f s after %d failures in a row, the last: %s"
        _log.warning(words, worker, seconds, fault.in_a_row, reason)


def _seconds(in_a_row: int) -> float:
    if in_a_row < PATIENCE:
        return 0.0
    return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(in_a_row - PATIENCE, 30))


def _others_can(session: Session, held: HeldAttempt) -> bool:
    """Return whether another worker has finished a trial of this job.

    A bug that hits every worker is in the candidate or in our code. Setting workers aside would
    then only hold up the other jobs.
    """
    others = exists().where(
        AttemptRecord.job_id == held.job.id,
        AttemptRecord.state == AttemptState.DELIVERED,
        AttemptRecord.detail == "",
        AttemptRecord.worker != held.attempt.worker,
    )
    return session.execute(select(others)).scalar_one()
