"""Cheap looks that write nothing: is a searcher there, is there work."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState, TrialState
from store import clock
from store.leader import SEARCHER
from store.tables import JobRecord, LeaderRecord, TrialRecord


def searcher_is_alive(session: Session) -> bool:
    """Whether a searcher holds the role now, by the database's clock."""
    query = select(LeaderRecord.name).where(
        LeaderRecord.name == SEARCHER, LeaderRecord.lease_until > clock.db_now()
    )
    return session.execute(query).first() is not None


def work_is_waiting(session: Session) -> bool:
    """Whether any running job has a waiting trial; a claim, which locks, may be worth it."""
    query = (
        select(TrialRecord.id)
        .join(JobRecord, JobRecord.id == TrialRecord.job_id)
        .where(TrialRecord.state == TrialState.WAITING, JobRecord.state == JobState.RUNNING)
        .limit(1)
    )
    return session.execute(query).first() is not None
