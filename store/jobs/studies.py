"""Which jobs have studies, and which studies must go. Only the searcher writes studies."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.tables.records import JobRecord, StudyRemovalRecord, TrialRecord


def pending(session: Session, *, limit: int = 1) -> list[str]:
    """Return the ids of deleted jobs whose study may still exist, oldest first."""
    query = select(StudyRemovalRecord.job_id)
    oldest = query.order_by(StudyRemovalRecord.created_at, StudyRemovalRecord.job_id)
    return list(session.scalars(oldest.limit(limit)))


def searched(session: Session, *, after: str = "", limit: int) -> list[str]:
    """Return ids above ``after`` of jobs that must have a study, because a trial came from it."""
    proposed = exists().where(
        TrialRecord.job_id == JobRecord.id, TrialRecord.study_number.is_not(None)
    )
    query = select(JobRecord.id).where(
        JobRecord.id > after, JobRecord.state != JobState.DELETED, proposed
    )
    return list(session.scalars(query.order_by(JobRecord.id).limit(limit)))


def without_job(session: Session, names: Collection[str]) -> list[str]:
    """Return the studies among these that have no job and no recorded removal."""
    jobs = session.scalars(select(JobRecord.id).where(JobRecord.id.in_(names)))
    noted = select(StudyRemovalRecord.job_id).where(StudyRemovalRecord.job_id.in_(names))
    return sorted(set(names) - set(jobs) - set(session.scalars(noted)))


def done(session: Session, job_id: str) -> None:
    """Record that the job's study is gone."""
    session.execute(delete(StudyRemovalRecord).where(StudyRemovalRecord.job_id == job_id))
