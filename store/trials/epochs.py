"""Count the recovery epochs of a job's search trials: those done and those promised."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from store.tables.records import RungRecord, TrialRecord

RERUN = "rerun"
"""Origin of a trial that is not counted in any budget."""


def committed(session: Session, job_id: str, *, besides: str | None = None) -> int:
    """Return the epochs that the job's search trials have had or were promised, without re-runs.

    A trial counts with the epochs of the rung it stands before: of the first one from the moment it
    exists, of the next one once it may climb. Epochs that were promised and not used, because the
    trial failed, stay counted: part of them was spent. So the number never falls.

    Args:
        session: Any transaction; under the job's lock the number is exact.
        job_id: Whose trials.
        besides: A trial to leave out.
    """
    query = (
        select(TrialRecord.rungs, TrialRecord.rung, RungRecord.decision)
        .outerjoin(
            RungRecord,
            (RungRecord.trial_id == TrialRecord.id) & (RungRecord.rung == TrialRecord.rung),
        )
        .where(
            TrialRecord.job_id == job_id,
            TrialRecord.phase == Phase.SEARCH,
            TrialRecord.origin != RERUN,
            TrialRecord.id != (besides or ""),
        )
    )
    return sum(_committed(*row) for row in session.execute(query))


def _committed(rungs: list[int], rung: int | None, decision: dict[str, object] | None) -> int:
    if rung is None or decision is None:
        return rungs[0]
    climbs = rung < len(rungs) - 1 and not Decision.model_validate(decision).stop
    return rungs[rung + 1] if climbs else rungs[rung]
