"""Trials: an exact number per job, never the same candidate and seed twice in a phase."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from compress.values import revision
from compress.values.knobs import Scalar
from compress.values.measurement import Split
from featherweight.specs.states import JobState, Phase, TrialState
from store import paging
from store.database import clock
from store.errors import BudgetExhausted, DuplicateCandidate, NotRunning, TrialNotFound
from store.jobs import jobs, transitions
from store.tables.records import JobRecord, TrialRecord, table_of
from store.trials import epochs
from store.trials.epochs import RERUN
from store.trials.revisions import revision_of

CONTROL = "control"
"""Origin of a trial that the search is compared with."""
EVALUATION = "test"
"""Origin of a trial that measures the last front on test."""
_ON_TOP = (RERUN, EVALUATION)
"""Origins of trials that no budget counts."""
_COUNTED = select(
    func.count().filter(TrialRecord.origin.not_in(_ON_TOP)),
    func.coalesce(func.max(TrialRecord.number), -1),
).where(TrialRecord.job_id == bindparam("job"))
_SAME = select(TrialRecord.number).where(
    TrialRecord.job_id == bindparam("job"),
    TrialRecord.phase == bindparam("of_phase"),
    TrialRecord.candidate_digest == bindparam("digest"),
    TrialRecord.seed == bindparam("with_seed"),
)
_TRIED = (
    select(TrialRecord.id, TrialRecord.phase, TrialRecord.origin, TrialRecord.candidate_digest)
    .where(TrialRecord.job_id == bindparam("job"))
    .order_by(TrialRecord.number)
)
_UNREPORTED = (
    select(TrialRecord)
    .where(
        TrialRecord.job_id == bindparam("job"),
        TrialRecord.told.is_(False),
        TrialRecord.state.in_([state for state in TrialState if state.is_finished]),
    )
    .order_by(TrialRecord.number)
)
_TRIALS = table_of(TrialRecord)
_MARK_REPORTED = (
    update(_TRIALS)
    .where(
        _TRIALS.c.job_id == bindparam("job"),
        _TRIALS.c.id.in_(bindparam("trials", expanding=True)),
    )
    .values(told=True)
)


@dataclass(frozen=True)
class Tried:
    """The candidate of a trial, and the purpose of the trial."""

    trial_id: str
    phase: str
    origin: str
    digest: str


def create(  # noqa: PLR0913 - every field of a trial, by name
    session: Session,
    job: JobRecord,
    *,
    phase: Phase,
    origin: str,
    candidate: Candidate,
    params: Mapping[str, Scalar] | None = None,
    seed: int,
    rungs: Sequence[int],
    splits: Sequence[Split],
    study_number: int | None = None,
    files: Sequence[str] | None = None,
) -> TrialRecord:
    """Make a waiting trial of a candidate in its canonical form; event ``trial.created``.

    Args:
        session: A writing transaction, which locks the job's row.
        job: Whose trial it is.
        phase: What it is for.
        origin: Who proposed it, such as sampler or control; test and rerun are in no budget.
        candidate: What to try.
        params: The knobs' values it was built from.
        seed: Seed of everything random in it.
        rungs: Total recovery epochs at each rung.
        splits: Splits to measure on at the last rung.
        study_number: Its number in the sampler's study.
        files: Digests of the files that it measures on test, one per rung.

    Raises:
        BudgetExhausted: the job has all its trials, or no epochs for the first rung of this one.
        DuplicateCandidate: the phase has this candidate with this seed.
        NotRunning: the job is over.
    """
    trial = TrialRecord(
        id=str(uuid.uuid4()),
        job_id=job.id,
        phase=phase,
        origin=origin,
        state=TrialState.WAITING,
        candidate=candidate.canonical().model_dump(mode="json"),
        candidate_digest=candidate.digest(),
        params=None if params is None else dict(params),
        seed=seed,
        rungs=list(rungs),
        splits=list(splits),
        files=files and list(files),
        study_number=study_number,
    )
    return _add(session, jobs.lock(session, job.id), trial)


def _add(session: Session, job: JobRecord, trial: TrialRecord) -> TrialRecord:
    _check_running(job)
    trial.number = _next_number(session, job, is_on_top=trial.origin in _ON_TOP)
    _check_epochs(session, job, trial)
    _check_new(session, trial)
    trial.created_at = clock.utc_now()
    transitions.count(job, plus=TrialState.WAITING)
    news = {
        "description": transitions.describe(trial),
        "phase": trial.phase,
        "origin": trial.origin,
        **({"reason": trial.reason} if trial.reason else {}),
    }
    transitions.announce(session, job, trial, "created", news)
    session.add(trial)
    session.flush()
    return trial


def _check_running(job: JobRecord) -> None:
    state = JobState(job.state)
    if state is JobState.STOPPING or state.is_finished:
        raise NotRunning(f"job {job.id} is {state}: it takes no new trials")


def _next_number(session: Session, job: JobRecord, *, is_on_top: bool) -> int:
    taken, number = session.execute(_COUNTED, {"job": job.id}).one()
    if taken >= job.budget_trials and not is_on_top:
        raise BudgetExhausted(f"job {job.id} has all {job.budget_trials} trials of its budget")
    return number + 1


def _check_epochs(session: Session, job: JobRecord, trial: TrialRecord) -> None:
    limit = jobs.spec(job).budget.epochs
    if limit is None or trial.phase != Phase.SEARCH or trial.origin == RERUN or not trial.rungs[0]:
        return
    left = limit - epochs.committed(session, job.id)
    if trial.rungs[0] > left:
        raise BudgetExhausted(
            f"job {job.id} has {left} of its {limit} epochs left, and the trial begins with "
            f"{trial.rungs[0]}"
        )


def _check_new(session: Session, trial: TrialRecord) -> None:
    same = {
        "job": trial.job_id,
        "of_phase": trial.phase,
        "digest": trial.candidate_digest,
        "with_seed": trial.seed,
    }
    number = session.scalar(_SAME, same)
    if number is not None:
        raise DuplicateCandidate(f"trial {number} is the same candidate with seed {trial.seed}")


def get(session: Session, trial_id: str) -> TrialRecord:
    """Return the trial. Raises TrialNotFound, or JobNotFound if its job was deleted."""
    trial = session.get(TrialRecord, trial_id)
    if trial is None:
        raise TrialNotFound(f"no trial {trial_id}")
    jobs.get(session, trial.job_id)
    return trial


def lock(session: Session, trial_id: str) -> TrialRecord:
    """Return the trial, freshly read and locked. The job's row must be locked already."""
    fresh = select(TrialRecord).where(TrialRecord.id == trial_id).with_for_update(key_share=True)
    return session.scalars(fresh, execution_options={"populate_existing": True}).one()


def page(
    session: Session,
    job_id: str,
    *,
    limit: int,
    cursor: str | None = None,
    state: TrialState | None = None,
    number: int | None = None,
) -> tuple[list[TrialRecord], str | None]:
    """Return one page of the job's trials, by number. Raises InvalidCursor."""
    wanted = ((TrialRecord.state, state), (TrialRecord.number, number))
    query = select(TrialRecord).where(
        TrialRecord.job_id == job_id,
        *(column == value for column, value in wanted if value is not None),
    )
    key = (TrialRecord.number,)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=False)


def of_job(session: Session, job_id: str, *, phase: Phase | None = None) -> list[TrialRecord]:
    """Return all trials of the job, or of one of its phases, by number."""
    query = select(TrialRecord).where(TrialRecord.job_id == job_id)
    if phase is not None:
        query = query.where(TrialRecord.phase == phase)
    return list(session.scalars(query.order_by(TrialRecord.number)))


def of_origin(session: Session, job_id: str, origin: str) -> list[TrialRecord]:
    """Return the job's trials of one origin, by number."""
    query = select(TrialRecord).where(TrialRecord.job_id == job_id, TrialRecord.origin == origin)
    return list(session.scalars(query.order_by(TrialRecord.number)))


def tried(session: Session, job_id: str) -> list[Tried]:
    """Return what the job has tried so far, by number. Little is read, even for many trials."""
    return [Tried(*row) for row in session.execute(_TRIED, {"job": job_id})]


def unreported(session: Session, job_id: str) -> list[TrialRecord]:
    """Return the finished trials that were not reported to the sampler's study, by number."""
    return list(session.scalars(_UNREPORTED, {"job": job_id}))


def mark_reported(session: Session, job_id: str, trial_ids: Collection[str]) -> None:
    """Record that these trials of the job were reported to the study."""
    jobs.lock(session, job_id)
    session.execute(_MARK_REPORTED, {"job": job_id, "trials": list(trial_ids)})


def set_study_number(session: Session, trial_id: str, number: int) -> None:
    """Record the trial's number in the sampler's study."""
    jobs.lock(session, get(session, trial_id).job_id)
    lock(session, trial_id).study_number = number


def stop_waiting(
    session: Session, job: JobRecord, reason: str, *, phase: Phase | None = None
) -> int:
    """Stop the job's waiting trials, of one phase or of all. Returns how many there were."""
    return transitions.stop_waiting(session, jobs.lock(session, job.id), reason, phase=phase)


def rerun(session: Session, trial_id: str, *, seed: int) -> TrialRecord:
    """Create a waiting trial like this one with another seed, on top of the budget.

    Its reason says so if the first one is of another engine revision.

    Raises:
        NotRunning: the job stops or has stopped.
        DuplicateCandidate: it ran with this seed before.
    """
    first = get(session, trial_id)
    job = jobs.lock(session, first.job_id)
    again = TrialRecord(
        id=str(uuid.uuid4()),
        origin=RERUN,
        state=TrialState.WAITING,
        seed=seed,
        reason=_revised(first),
        **{field: getattr(first, field) for field in _REPEATED},
    )
    return _add(session, job, again)


def _revised(first: TrialRecord) -> str:
    """Return the note about figures that cannot be compared; empty if they can."""
    made_by = revision_of(first.measurement)
    if made_by is None or not revision.differs(made_by):
        return ""
    return (
        f"trial {first.number} was made by revision {made_by} of the engine, this is revision "
        f"{revision.ENGINE_REVISION}: the same candidate and seed may give another file"
    )


_REPEATED = (
    *("job_id", "phase", "candidate", "candidate_digest"),
    *("params", "rungs", "splits", "files"),
)
