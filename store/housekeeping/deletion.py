"""Delete a job: at once for all readers, and then row by row.

``begin`` is one short transaction, after which the job is in no list and found by no id. A large
job has a hundred thousand rows, which must not be removed in one transaction: ``purge`` removes a
limited number per transaction, the job's own row last. If it is killed in between, the job stays
deleted for its users and the next call removes the remaining rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Table, delete, exists, select, tuple_
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.database import clock
from store.database.upserts import insert_new
from store.errors import JobNotFinished, StillInUse
from store.tables.records import (
    ArtifactRecord,
    Base,
    DeletedJobRecord,
    JobRecord,
    StudyRemovalRecord,
    WarmSourceRecord,
    table_of,
)

ROWS_AT_ONCE = 1000
_JOBS, _ARTIFACTS = table_of(JobRecord), table_of(ArtifactRecord)
_LEFT, _SOURCES = table_of(DeletedJobRecord), table_of(WarmSourceRecord)
PARTS: tuple[Table, ...] = tuple(
    table
    for table in reversed(Base.metadata.sorted_tables)
    if any(key.column.table is _JOBS for key in table.foreign_keys)
)
"""The tables with rows of a job, each before the tables that its rows refer to."""


@dataclass(frozen=True, kw_only=True)
class Purged:
    """What one transaction freed: files the job no longer names. ``is_last``: the job is gone."""

    files: frozenset[str] = frozenset()
    is_last: bool = False


def begin(session: Session, job: JobRecord) -> None:
    """Delete a job for all readers. The caller holds its row by ``lock``.

    Raises:
        JobNotFinished: it waits, runs or stops.
        StillInUse: an unfinished job starts from it, and reads its trials again after a restart.
    """
    if not JobState(job.state).is_finished:
        raise JobNotFinished(
            f"job {job.id} is {job.state}: cancel it, and delete it once it has ended"
        )
    _check_unused(session, job)
    if session.scalar(select(exists(_named(job.id)))):
        insert_new(session, DeletedJobRecord, _remains(job))
    removal = {"job_id": job.id, "created_at": clock.utc_now()}
    insert_new(session, StudyRemovalRecord, removal)
    # A repeat of the request that made it makes another one.
    job.state, job.idempotency_key = JobState.DELETED, None
    session.flush()


def begun(session: Session, *, limit: int) -> list[str]:
    """Return the ids of jobs that are deleted for their users but still have rows."""
    query = select(JobRecord.id).where(JobRecord.state == JobState.DELETED)
    return list(session.scalars(query.order_by(JobRecord.created_at).limit(limit)))


def purge(session: Session, job_id: str, *, rows: int = ROWS_AT_ONCE) -> Purged:
    """Remove up to ``rows`` rows of a job whose deletion has begun.

    There is nothing to do if somebody else is doing it, or has finished it.
    """
    deleted = select(JobRecord).where(JobRecord.id == job_id, JobRecord.state == JobState.DELETED)
    job = session.scalars(deleted.with_for_update(skip_locked=True)).one_or_none()
    if job is None:
        return Purged(is_last=True)
    files: set[str] = set()
    for table in PARTS:
        removed = _remove(session, table, job_id, limit=rows)
        if table is _ARTIFACTS:
            files.update(removed)
        rows -= len(removed)
        if rows <= 0:
            return Purged(files=frozenset(files))
    files.update(filter(None, (job.weights_sha256, job.supernet_sha256)))
    session.execute(delete(_JOBS).where(_JOBS.c.id == job_id))
    forget_unnamed(session)
    return Purged(files=frozenset(files), is_last=True)


def forget_unnamed(session: Session) -> int:
    """Forget the remains of deleted jobs that no job names any more. Returns their number."""
    names = exists().where(_SOURCES.c.source_id == _LEFT.c.id)
    gone = session.execute(delete(_LEFT).where(~names).returning(_LEFT.c.id))
    return len(gone.all())


def _check_unused(session: Session, job: JobRecord) -> None:
    user = session.scalar(_named(job.id).where(_JOBS.c.finished_at.is_(None)).limit(1))
    if user is not None:
        raise StillInUse(
            f"job {user} starts from job {job.id} and is not finished: wait for its end, or "
            "cancel it"
        )


def _named(job_id: str) -> Select[str]:
    """Select the ids of the jobs that name this one as their warm start."""
    return (
        select(_JOBS.c.id)
        .join(_SOURCES, _SOURCES.c.job_id == _JOBS.c.id)
        .where(_SOURCES.c.source_id == job_id, _JOBS.c.state != JobState.DELETED)
    )


def _remains(job: JobRecord) -> dict[str, Any]:
    kept = ("id", "owner", "name", "spec", "created_at", "started_at", "finished_at")
    return {name: getattr(job, name) for name in kept} | {"deleted_at": clock.utc_now()}


def _remove(session: Session, table: Table, job_id: str, *, limit: int) -> Sequence[str]:
    """Remove rows. Returns the digest of each, or else the first part of its key."""
    key = tuple_(*table.primary_key.columns)
    some = select(*table.primary_key.columns).where(table.c.job_id == job_id).limit(limit)
    told = table.c.get("sha256", next(iter(table.primary_key.columns)))
    return session.scalars(delete(table).where(key.in_(some)).returning(told)).all()
