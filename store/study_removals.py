"""Studies of deleted jobs: the searcher, who alone writes studies, has yet to delete them."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.tables import StudyRemovalRecord


def pending(session: Session, *, limit: int = 1) -> list[str]:
    """Ids of deleted jobs whose study may be there still, oldest first."""
    query = select(StudyRemovalRecord.job_id)
    oldest = query.order_by(StudyRemovalRecord.created_at, StudyRemovalRecord.job_id)
    return list(session.scalars(oldest.limit(limit)))


def done(session: Session, job_id: str) -> None:
    """The job's study is gone."""
    session.execute(delete(StudyRemovalRecord).where(StudyRemovalRecord.job_id == job_id))
