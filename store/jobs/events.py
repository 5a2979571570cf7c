"""The events of a job: numbered without gaps, in the order of the commits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.database import clock
from store.tables.records import EventRecord, JobRecord, table_of

CHANNEL = "fw_events"
_INSERT = insert(table_of(EventRecord))


@dataclass(frozen=True, kw_only=True)
class Head:
    """The number of a job's newest event, and whether no event can follow it."""

    seq: int
    is_last: bool


def append(session: Session, job: JobRecord, type: str, data: dict[str, Any]) -> int:
    """Write one event and wake its watchers. Returns its number.

    The number is taken from the job's row, which the caller holds until the commit: a sequence
    would give numbers that commit out of order, and a reader would miss some. Two writers that do
    not hold the row cannot both commit, because the number is part of the event's key.
    """
    seq = job.last_event = job.last_event + 1
    row = {"job_id": job.id, "seq": seq, "type": type, "data": data, "at": clock.utc_now()}
    # Not through the session, which would first flush every pending change.
    session.connection().execute(_INSERT, row)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(CHANNEL, job.id)))
    return seq


def after(session: Session, job_id: str, seq: int, *, limit: int = 500) -> list[EventRecord]:
    """Return events of the job with numbers above ``seq``, oldest first."""
    query = select(EventRecord).where(EventRecord.job_id == job_id, EventRecord.seq > seq)
    return list(session.scalars(query.order_by(EventRecord.seq).limit(limit)))


def first_seq(session: Session, job_id: str) -> int | None:
    """Return the number of the oldest event that is kept, or None if there is none."""
    return session.scalar(select(func.min(EventRecord.seq)).where(EventRecord.job_id == job_id))


def heads(session: Session, job_ids: Collection[str]) -> dict[str, Head]:
    """Return the head of each job. Jobs that do not exist or are deleted are left out."""
    query = select(JobRecord.id, JobRecord.last_event, JobRecord.state).where(
        JobRecord.state != JobState.DELETED
    )
    rows = session.execute(query.where(JobRecord.id.in_(job_ids)))
    return {
        job_id: Head(seq=seq, is_last=JobState(state).is_finished) for job_id, seq, state in rows
    }
