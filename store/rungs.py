"""Rungs: one record per trial and rung, written once; what a stopping rule sees."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.measurement import Measurement
from featherweight.specs.job import JobSpec
from store.tables import JobRecord, RungRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class RungPoint:
    """Another trial at the same rung."""

    trial_id: str
    measurement: Measurement
    violation: float


@dataclass(frozen=True, kw_only=True)
class RungContext:
    """Everything a stopping rule may look at.

    ``violation`` is the largest of the job's constraints, at most 0 where all are met, -1 where
    there are none. ``peers`` are the other trials of the phase at this rung.
    """

    job: JobRecord
    spec: JobSpec
    trial: TrialRecord
    rung: int
    is_last: bool
    measurement: Measurement
    violation: float
    baseline: Measurement | None
    peers: list[RungPoint]


def of_job(session: Session, job_id: str) -> list[RungRecord]:
    """All rungs of the job's trials, in the order in which they were reached."""
    query = select(RungRecord).where(RungRecord.job_id == job_id)
    order = (RungRecord.created_at, RungRecord.trial_id, RungRecord.rung)
    return list(session.scalars(query.order_by(*order)))


def of_trial(session: Session, trial_id: str) -> list[RungRecord]:
    """The trial's rungs, from the first."""
    query = select(RungRecord).where(RungRecord.trial_id == trial_id)
    return list(session.scalars(query.order_by(RungRecord.rung)))


def peers(session: Session, trial: TrialRecord, rung: int) -> list[RungPoint]:
    """Other trials of the same phase at this rung."""
    query = select(RungRecord.trial_id, RungRecord.measurement, RungRecord.violation).where(
        RungRecord.job_id == trial.job_id,
        RungRecord.phase == trial.phase,
        RungRecord.rung == rung,
        RungRecord.trial_id != trial.id,
    )
    return [
        RungPoint(
            trial_id=trial_id,
            measurement=Measurement.model_validate(measurement),
            violation=violation,
        )
        for trial_id, measurement, violation in session.execute(query)
    ]
