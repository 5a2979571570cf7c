"""Which finished jobs a job starts from, recorded when it is submitted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.errors import JobNotFound
from store.tables.records import JobRecord, WarmSourceRecord

_JOBS_LOOKED_AT = 50
_FINISHED = tuple(s for s in JobState if s.is_finished and s is not JobState.DELETED)


def finished(session: Session) -> list[JobRecord]:
    """Return the newest finished jobs that have a measured baseline, newest first, at most 50."""
    query = select(JobRecord).where(JobRecord.state.in_(_FINISHED), JobRecord.baseline.is_not(None))
    newest = query.order_by(JobRecord.created_at.desc(), JobRecord.id.desc())
    return list(session.scalars(newest.limit(_JOBS_LOOKED_AT)))


def add_sources(session: Session, job: JobRecord, sources: Sequence[tuple[str, bool]]) -> None:
    """Record the source jobs by id, each with whether the sampler learns from its trials.

    Raises JobNotFound for one that has just been deleted.
    """
    _keep(session, [source_id for source_id, _ in sources])
    session.add_all(
        WarmSourceRecord(
            job_id=job.id, position=position, source_id=source_id, is_history=is_history
        )
        for position, (source_id, is_history) in enumerate(sources)
    )


def _keep(session: Session, source_ids: Sequence[str]) -> None:
    """Protect these jobs from deletion until the end of the transaction."""
    query = select(JobRecord.id).where(
        JobRecord.id.in_(source_ids), JobRecord.state != JobState.DELETED
    )
    oldest_first = query.order_by(JobRecord.created_at, JobRecord.id)
    kept = session.scalars(oldest_first.with_for_update(read=True, key_share=True)).all()
    if lost := sorted(set(source_ids) - set(kept)):
        raise JobNotFound(f"job {lost[0]}, a warm start of this one, was deleted in this moment")


def sources(session: Session, job_id: str) -> list[WarmSourceRecord]:
    """Return the jobs that a job starts from, in order. Some may have been deleted since."""
    query = select(WarmSourceRecord).where(WarmSourceRecord.job_id == job_id)
    return list(session.scalars(query.order_by(WarmSourceRecord.position)))
