"""How trials ended and what was measured, in an order that does not depend on a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.states import Phase, TrialState
from store.tables.records import EventRecord, TrialRecord
from store.trials import rungs
from store.trials.epochs import RERUN

_ENDS = tuple(f"trial.{state}" for state in TrialState if state.is_finished)
_RUN = (
    select(TrialRecord.id, TrialRecord.number, TrialRecord.rung)
    .where(
        TrialRecord.job_id == bindparam("job"),
        TrialRecord.phase == bindparam("of_phase"),
        TrialRecord.origin != RERUN,
        TrialRecord.num_attempts > 0,
    )
    .order_by(TrialRecord.number)
)


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """A trial's number, and what was measured of it at every rung it reached."""

    number: int
    measurements: Sequence[Measurement]


def ended(session: Session, job_id: str, *, phase: Phase) -> list[EndedTrial]:
    """Return the trials of the phase that ran and ended, in the order of their last events.

    Events are numbered under the job's row, so a clock that jumps changes nothing. Re-runs and
    trials that never ran are left out.
    """
    found = dict(_of_phase(session, job_id, phase))
    query = select(EventRecord.data).where(
        EventRecord.job_id == job_id, EventRecord.type.in_(_ENDS)
    )
    order = [data["trial"] for data in session.scalars(query.order_by(EventRecord.seq))]
    return [found[trial_id] for trial_id in order if trial_id in found]


@dataclass(frozen=True, kw_only=True)
class ReachedRung:
    """A file: the trial's number, the rung, and what was measured."""

    number: int
    rung: int
    measurement: Measurement


def reached(session: Session, job_id: str, *, phase: Phase) -> list[ReachedRung]:
    """Return every rung of the phase's trials in the order of their events, without re-runs."""
    found = dict(_of_phase(session, job_id, phase))
    query = select(EventRecord.data).where(
        EventRecord.job_id == job_id, EventRecord.type == "trial.rung"
    )
    said = [
        (data["trial"], data["rung"])
        for data in session.scalars(query.order_by(EventRecord.seq))
        if data["trial"] in found
    ]
    return [
        ReachedRung(
            number=found[trial].number, rung=rung, measurement=found[trial].measurements[rung]
        )
        for trial, rung in said
    ]


def measured(session: Session, job_id: str, *, phase: Phase) -> list[EndedTrial]:
    """Return trials of the phase with at least one rung, by number, running ones included.

    Re-runs are left out.
    """
    found = [trial for _, trial in _of_phase(session, job_id, phase) if trial.measurements]
    return sorted(found, key=lambda trial: trial.number)


def _of_phase(session: Session, job_id: str, phase: Phase) -> list[tuple[str, EndedTrial]]:
    rows = session.execute(_RUN, {"job": job_id, "of_phase": phase}).all()
    keys = [(row[0], rung) for row in rows for rung in _up_to(row[2])]
    known = dict(zip(keys, rungs.measurements(session, keys), strict=True))
    return [
        (trial_id, EndedTrial(number=number, measurements=_rungs(known, trial_id, rung)))
        for trial_id, number, rung in rows
    ]


def _rungs(
    known: dict[tuple[str, int], Measurement], trial_id: str, last: int | None
) -> list[Measurement]:
    return [known[trial_id, rung] for rung in _up_to(last)]


def _up_to(last: int | None) -> range:
    """Return the rungs that a trial has reached."""
    return range(0 if last is None else last + 1)
