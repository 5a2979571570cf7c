"""Rungs: one record per trial and rung, written once; the input of a stopping rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from compress.values.measurement import FIRST_TARGET, Measurement
from featherweight.specs.protocol import Decision
from store.tables.records import RungRecord, TrialRecord

_OTHERS_AT = select(RungRecord.trial_id).where(
    RungRecord.job_id == bindparam("job"),
    RungRecord.phase == bindparam("of_phase"),
    RungRecord.rung == bindparam("at"),
    RungRecord.trial_id != bindparam("trial"),
)
_MOST_UNDERSTOOD = 20_000
_understood: dict[tuple[str, int], Measurement] = {}
"""Measurements that this process has read, by trial and rung: they never change."""


@dataclass(frozen=True, kw_only=True)
class RungDecision:
    """A rung of a trial, and the decision made there."""

    rung: int
    decision: Decision


def of_job(session: Session, job_id: str) -> list[RungRecord]:
    """Return all rungs of the job's trials, in the order in which they were reached."""
    query = select(RungRecord).where(RungRecord.job_id == job_id)
    order = (RungRecord.created_at, RungRecord.trial_id, RungRecord.rung)
    return list(session.scalars(query.order_by(*order)))


def of_trial(session: Session, trial_id: str) -> list[RungRecord]:
    """Return the trial's rungs, from the first."""
    query = select(RungRecord).where(RungRecord.trial_id == trial_id)
    return list(session.scalars(query.order_by(RungRecord.rung)))


def at(session: Session, trial_id: str, rung: int) -> RungDecision | None:
    """Return the decision at that rung, or None if the trial has not reached it."""
    query = select(RungRecord.decision).where(
        RungRecord.trial_id == trial_id, RungRecord.rung == rung
    )
    decision = session.scalar(query)
    if decision is None:
        return None
    return RungDecision(rung=rung, decision=Decision.model_validate(decision))


def target_of(session: Session, trial_id: str, rung: int) -> str:
    """Return the target of the file that the trial made at that rung."""
    query = select(RungRecord.measurement).where(
        RungRecord.trial_id == trial_id, RungRecord.rung == rung
    )
    measurement = session.scalars(query).one_or_none() or {}
    return str(measurement.get("target", FIRST_TARGET))


def last(session: Session, trial: TrialRecord) -> RungDecision | None:
    """Return the decision at the trial's highest rung, which the trial's row already names."""
    return None if trial.rung is None else at(session, trial.id, trial.rung)


def is_decided(trial: TrialRecord, reached: RungDecision) -> bool:
    """Return whether this rung, the trial's highest, already decides the end of the trial."""
    return reached.rung == len(trial.rungs) - 1 or reached.decision.stop


def peers(session: Session, trial: TrialRecord, rung: int) -> list[Measurement]:
    """Return the measurements of the other trials of the same phase at this rung, by trial id."""
    trial_ids = _others_at(session, trial, rung)
    return measurements(session, [(key, rung) for key in trial_ids])


def curve(session: Session, trial: TrialRecord) -> list[float]:
    """Return the trial's scores on validation at every rung so far."""
    reached = 0 if trial.rung is None else trial.rung + 1
    keys = [(trial.id, rung) for rung in range(reached)]
    return [each.score() for each in measurements(session, keys)]


def peer_curves(session: Session, trial: TrialRecord, rung: int) -> list[list[float]]:
    """Return the scores of each of ``peers``, in their order, at every rung it reached."""
    others = _others_at(session, trial, rung)
    query = select(RungRecord.trial_id, RungRecord.rung).where(
        RungRecord.job_id == trial.job_id, RungRecord.phase == trial.phase
    )
    keys = sorted((trial_id, at) for trial_id, at in session.execute(query))
    curves: dict[str, list[float]] = {key: [] for key in others}
    for (trial_id, _), measured in zip(keys, measurements(session, keys), strict=True):
        if trial_id in curves:
            curves[trial_id].append(measured.score())
    return list(curves.values())


def curves(session: Session, rows: Sequence[TrialRecord]) -> dict[str, list[Measurement]]:
    """Return the measurements of each of these trials at every rung so far, from the first."""
    reached = {row.id: 0 if row.rung is None else row.rung + 1 for row in rows}
    keys = [(trial_id, rung) for trial_id, count in reached.items() for rung in range(count)]
    found: dict[str, list[Measurement]] = {trial_id: [] for trial_id in reached}
    for (trial_id, _), measured in zip(keys, measurements(session, keys), strict=True):
        found[trial_id].append(measured)
    return found


def _others_at(session: Session, trial: TrialRecord, rung: int) -> Sequence[str]:
    wanted = {"job": trial.job_id, "of_phase": trial.phase, "at": rung, "trial": trial.id}
    return sorted(session.scalars(_OTHERS_AT, wanted).all())


def measurements(session: Session, keys: Sequence[tuple[str, int]]) -> list[Measurement]:
    """Return the measurements of trials at rungs, in the order of the keys."""
    known = {key: _understood[key] for key in keys if key in _understood}
    missing: dict[int, list[str]] = {}
    for trial_id, rung in keys:
        if (trial_id, rung) not in known:
            missing.setdefault(rung, []).append(trial_id)
    for rung, trial_ids in missing.items():
        known |= _read(session, trial_ids, rung)
    return [known[key] for key in keys]


def _compared(found: dict[str, Any]) -> Measurement:
    """Return the fields of a measurement that the search reads; many are kept in memory."""
    return Measurement.model_validate({**found, "class_correct": {}})


def _read(
    session: Session, trial_ids: Sequence[str], rung: int
) -> dict[tuple[str, int], Measurement]:
    query = select(RungRecord.trial_id, RungRecord.measurement).where(
        RungRecord.trial_id.in_(trial_ids), RungRecord.rung == rung
    )
    read = {(key, rung): _compared(found) for key, found in session.execute(query)}
    if len(_understood) + len(read) > _MOST_UNDERSTOOD:
        _understood.clear()
    _understood.update(read)
    return read
