"""Rungs: one record per trial and rung, written once; what a stopping rule sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from store.tables import RungRecord, TrialRecord

_MOST_UNDERSTOOD = 20_000
_understood: dict[tuple[str, int], Measurement] = {}
"""Measurements by trial and rung, as far as this process has read them: they never change."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A rung of a trial, and what was decided there."""

    rung: int
    decision: Decision


@dataclass(frozen=True, kw_only=True)
class RungContext:
    """Everything a stopping rule may look at.

    ``violation`` is the largest of the job's constraints, at most 0 where all are met, -1 where
    there are none. ``peers`` are the other trials of the phase at this rung; nobody is stopped at
    the last one, so there they are not read.
    """

    spec: JobSpec
    phase: Phase
    rung: int
    is_last: bool
    measurement: Measurement
    violation: float
    baseline: Measurement | None
    peers: Sequence[Measurement]


def of_job(session: Session, job_id: str) -> list[RungRecord]:
    """All rungs of the job's trials, in the order in which they were reached."""
    query = select(RungRecord).where(RungRecord.job_id == job_id)
    order = (RungRecord.created_at, RungRecord.trial_id, RungRecord.rung)
    return list(session.scalars(query.order_by(*order)))


def of_trial(session: Session, trial_id: str) -> list[RungRecord]:
    """The trial's rungs, from the first."""
    query = select(RungRecord).where(RungRecord.trial_id == trial_id)
    return list(session.scalars(query.order_by(RungRecord.rung)))


def at(session: Session, trial_id: str, rung: int) -> Reached | None:
    """What was decided when the trial reached that rung; None where it has not."""
    query = select(RungRecord.decision).where(
        RungRecord.trial_id == trial_id, RungRecord.rung == rung
    )
    decision = session.scalar(query)
    if decision is None:
        return None
    return Reached(rung=rung, decision=Decision.model_validate(decision))


def last(session: Session, trial: TrialRecord) -> Reached | None:
    """The trial's highest rung; the trial's row is read already and knows which one that is."""
    return None if trial.rung is None else at(session, trial.id, trial.rung)


def is_decided(trial: TrialRecord, reached: Reached) -> bool:
    """Whether this rung, the trial's highest, says already how the trial ends."""
    return reached.rung == len(trial.rungs) - 1 or reached.decision.stop


def peers(session: Session, trial: TrialRecord, rung: int) -> list[Measurement]:
    """What was measured of the other trials of the same phase at this rung, in any order."""
    query = select(RungRecord.trial_id).where(
        RungRecord.job_id == trial.job_id,
        RungRecord.phase == trial.phase,
        RungRecord.rung == rung,
        RungRecord.trial_id != trial.id,
    )
    trial_ids = session.scalars(query).all()
    known = {key: _understood[key, rung] for key in trial_ids if (key, rung) in _understood}
    new = [key for key in trial_ids if key not in known]
    return [*known.values(), *_read(session, new, rung)]


def _read(session: Session, trial_ids: Sequence[str], rung: int) -> list[Measurement]:
    if not trial_ids:
        return []
    query = select(RungRecord.trial_id, RungRecord.measurement).where(
        RungRecord.trial_id.in_(trial_ids), RungRecord.rung == rung
    )
    read = {key: Measurement.model_validate(found) for key, found in session.execute(query)}
    if len(_understood) + len(read) > _MOST_UNDERSTOOD:
        _understood.clear()
    _understood.update({(key, rung): measurement for key, measurement in read.items()})
    return list(read.values())
