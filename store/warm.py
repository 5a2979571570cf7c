"""Which finished jobs a job starts from, written down when it is submitted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.tables import JobRecord, WarmSourceRecord

_JOBS_LOOKED_AT = 50
_FINISHED = tuple(state for state in JobState if state.is_finished)


def finished(session: Session) -> list[JobRecord]:
    """The newest finished jobs that have a measured baseline, newest first, at most 50."""
    query = select(JobRecord).where(JobRecord.state.in_(_FINISHED), JobRecord.baseline.is_not(None))
    newest = query.order_by(JobRecord.created_at.desc(), JobRecord.id.desc())
    return list(session.scalars(newest.limit(_JOBS_LOOKED_AT)))


def add_sources(session: Session, job: JobRecord, sources: Sequence[tuple[str, bool]]) -> None:
    """Note the jobs by id, and of each whether the sampler learns of its trials."""
    session.add_all(
        WarmSourceRecord(
            job_id=job.id, position=position, source_id=source_id, is_history=is_history
        )
        for position, (source_id, is_history) in enumerate(sources)
    )


def sources(session: Session, job_id: str) -> list[WarmSourceRecord]:
    """The jobs that a job starts from, in their order."""
    query = select(WarmSourceRecord).where(WarmSourceRecord.job_id == job_id)
    return list(session.scalars(query.order_by(WarmSourceRecord.position)))
