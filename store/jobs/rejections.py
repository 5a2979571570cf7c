"""Candidates that were refused before they became trials: events, one per candidate."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from store.jobs import events, jobs
from store.tables.records import EventRecord, JobRecord

TYPE = "candidate.refused"


def note(session: Session, job: JobRecord, candidate: Candidate, reason: str) -> bool:
    """Record that the candidate is refused. Returns False if that is already recorded.

    A searcher that was killed before its study knew refuses the same candidate again.
    """
    job, digest = jobs.lock(session, job.id), candidate.digest()
    same = select(EventRecord.seq).where(
        EventRecord.job_id == job.id,
        EventRecord.type == TYPE,
        EventRecord.data["digest"].as_string() == digest,
    )
    if session.scalars(same.limit(1)).first() is not None:
        return False
    news = {"digest": digest, "description": candidate.describe(), "reason": reason}
    events.append(session, job, TYPE, news)
    return True


def count(session: Session, job_id: str) -> int:
    """Return how many candidates of the job were refused."""
    query = select(func.count()).where(EventRecord.job_id == job_id, EventRecord.type == TYPE)
    return session.execute(query).scalar_one()
