"""Counts over the whole store, for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState, JobState, TrialState
from store.tables.records import AttemptRecord, JobRecord


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts by state. ``queue_depth`` is the number of waiting trials of running jobs."""

    jobs: dict[str, int]
    trials: dict[str, int]
    attempts: dict[str, int]
    queue_depth: int


def read(session: Session) -> Statistics:
    """Count everything now; trials by the counts that jobs keep."""
    jobs: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    queue_depth = 0
    kept = select(JobRecord.state, JobRecord.counts).where(JobRecord.state != JobState.DELETED)
    for state, counts in session.execute(kept):
        jobs[state] += 1
        trials.update(counts)
        queue_depth += counts.get(TrialState.WAITING, 0) if state == JobState.RUNNING else 0
    by_state = select(AttemptRecord.state, func.count()).group_by(AttemptRecord.state)
    attempts = Counter(dict(session.execute(by_state).all()))
    return Statistics(
        jobs=_all(jobs, (state for state in JobState if state is not JobState.DELETED)),
        trials=_all(trials, TrialState),
        attempts=_all(attempts, AttemptState),
        queue_depth=queue_depth,
    )


def _all(counted: Counter[str], states: Iterable[StrEnum]) -> dict[str, int]:
    return {str(state): counted[state] for state in states}
