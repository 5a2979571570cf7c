"""Which jobs have studies, and studies that are to go: the searcher alone writes studies."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState
from store.tables.records import JobRecord, StudyRemovalRecord, TrialRecord


def pending(session: Session, *, limit: int = 1) -> list[str]:
    """Ids of deleted jobs whose study may be there still, oldest first."""
    query = select(StudyRemovalRecord.job_id)
    oldest = query.order_by(StudyRemovalRecord.created_at, StudyRemovalRecord.job_id)
    return list(session.scalars(oldest.limit(limit)))


def searched(session: Session, *, after: str = "", limit: int) -> list[str]:
    """Ids above ``after`` of jobs that must have a study: a trial of theirs came out of one."""
    proposed = exists().where(
        TrialRecord.job_id == JobRecord.id, TrialRecord.study_number.is_not(None)
    )
    query = select(JobRecord.id).where(
        JobRecord.id > after, JobRecord.state != JobState.DELETED, proposed
    )
    return list(session.scalars(query.order_by(JobRecord.id).limit(limit)))


def without_job(session: Session, names: Collection[str]) -> list[str]:
    """Those of the studies that have no job, and whose removal nobody has noted."""
    jobs = session.scalars(select(JobRecord.id).where(JobRecord.id.in_(names)))
    noted = select(StudyRemovalRecord.job_id).where(StudyRemovalRecord.job_id.in_(names))
    return sorted(set(names) - set(jobs) - set(session.scalars(noted)))


def done(session: Session, job_id: str) -> None:
    """The job's study is gone."""
    session.execute(delete(StudyRemovalRecord).where(StudyRemovalRecord.job_id == job_id))
