"""Describe how many trials of a job failed, and how; a job that succeeded says so too."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from featherweight.specs.states import TrialState
from store.tables.records import JobRecord, TrialRecord


def words(session: Session, job: JobRecord) -> str:
    """Return how many ended trials failed, by class, most frequent first; empty if none did."""
    failed = job.counts.get(TrialState.FAILED, 0)
    if not failed:
        return ""
    query = (
        select(TrialRecord.failure_class, func.count())
        .where(TrialRecord.job_id == job.id, TrialRecord.state == TrialState.FAILED)
        .group_by(TrialRecord.failure_class)
    )
    by_class = sorted(session.execute(query).all(), key=lambda row: (-row[1], str(row[0])))
    said = ", ".join(f"{count} {name}" for name, count in by_class)
    return f"{failed} of {_over(job)} trials failed: {said}"


def are_most(job: JobRecord) -> bool:
    """Return whether more than half of the ended trials failed."""
    return 2 * job.counts.get(TrialState.FAILED, 0) > _over(job)


def _over(job: JobRecord) -> int:
    return sum(job.counts.get(state, 0) for state in TrialState if state.is_finished)
