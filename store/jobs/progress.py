"""Measure how far a job has come, as the basis of a forecast of its time.

The cost of a call does not grow with the job, except for one count over an index, so a page may ask
often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.job import UntrainedModel
from featherweight.specs.states import Phase, TrialState
from store.jobs import baselines
from store.tables.records import DatasetRecord, JobRecord, ModelRecord, RungRecord, TrialRecord

_NEWEST = 32
"""How many recent trials are read: candidates and machines change while a job runs."""
_JOBS_LOOKED_AT = 5
_UNFINISHED = [state for state in TrialState if not state.is_finished]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A search trial that has reported, and the time it took up to its newest rung.

    ``wall_seconds`` is the time of the whole trial; None before it has ended, and if more than one
    worker had it.
    """

    rung: int
    epochs: int
    measurement: Measurement
    wall_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Counts of the trials of a job, re-runs included.

    ``reached`` counts search trials by rung. ``on_the_way`` are the rungs of those that were let
    climb and have not reported the next one. ``num_lost`` search trials failed before their first
    report, and ``num_finished`` trials of the finish phase have ended.
    """

    reached: tuple[int, ...]
    on_the_way: tuple[int, ...]
    num_lost: int
    num_finished: int


def counted(session: Session, job: JobRecord, *, num_rungs: int) -> Counted:
    """Return how far the trials of the job have come."""
    by_rung = (
        select(RungRecord.phase, RungRecord.rung, func.count())
        .where(RungRecord.job_id == job.id, RungRecord.phase.in_((Phase.SEARCH, Phase.FINISH)))
        .group_by(RungRecord.phase, RungRecord.rung)
    )
    reached = {(phase, rung): count for phase, rung, count in session.execute(by_rung)}
    lost = _lost(session, job)
    return Counted(
        reached=tuple(reached.get((Phase.SEARCH, rung), 0) for rung in range(num_rungs)),
        on_the_way=_on_the_way(session, job),
        num_lost=lost[Phase.SEARCH],
        num_finished=reached.get((Phase.FINISH, 0), 0) + lost[Phase.FINISH],
    )


def _on_the_way(session: Session, job: JobRecord) -> tuple[int, ...]:
    query = select(TrialRecord.rung).where(
        TrialRecord.job_id == job.id,
        TrialRecord.state.in_(_UNFINISHED),
        TrialRecord.phase == Phase.SEARCH,
        TrialRecord.rung.is_not(None),
    )
    return tuple(rung for rung in session.scalars(query) if rung is not None)


def _lost(session: Session, job: JobRecord) -> Counter[str]:
    query = select(TrialRecord.phase).where(
        TrialRecord.job_id == job.id,
        TrialRecord.state == TrialState.FAILED,
        TrialRecord.rung.is_(None),
    )
    return Counter(session.scalars(query))


def timed(session: Session, job_id: str) -> list[Timed]:
    """Return the newest search trials of a job that have reported, at most 32."""
    query = (
        select(TrialRecord)
        .where(
            TrialRecord.job_id == job_id,
            TrialRecord.phase == Phase.SEARCH,
            TrialRecord.measurement.is_not(None),
        )
        .order_by(TrialRecord.number.desc())
    )
    return [_timed(trial) for trial in session.scalars(query.limit(_NEWEST))]


def _timed(trial: TrialRecord) -> Timed:
    wall = None
    if trial.started_at and trial.finished_at and trial.num_attempts == 1:
        wall = (trial.finished_at - trial.started_at).total_seconds()
    return Timed(
        rung=trial.rung or 0,
        epochs=trial.epochs or 0,
        measurement=Measurement.model_validate(trial.measurement),
        wall_seconds=wall,
    )


def timed_before(
    session: Session, *, model: ModelRecord | UntrainedModel, dataset: DatasetRecord
) -> Sequence[Timed]:
    """Return the timed trials of the newest of five earlier jobs on this network and data."""
    for job_id in baselines.jobs_of(session, model=model, dataset=dataset, limit=_JOBS_LOOKED_AT):
        if found := timed(session, job_id):
            return found
    return ()
