"""Candidates that somebody proposed: tried in order, before those of a sampler.

They wait here until the searcher makes trials of them; the baseline need not be measured yet. All
of it happens under the job's row, so their number and that of the trials never exceed the budget.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from compress.values.knobs import Scalar
from featherweight.specs.states import JobState, Phase
from store import paging
from store.database import clock
from store.database.upserts import insert_new
from store.errors import BudgetExhausted, CandidatesWait, IdempotencyConflict, NotRunning
from store.jobs import events, jobs
from store.tables.records import CandidatePostRecord, CandidateRecord, JobRecord, TrialRecord
from store.trials.trials import RERUN

USER = "user"
WARM = "warm"
_OPEN_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)
_AFTER_THE_SEARCH = (Phase.FINISH, Phase.TEST)


@dataclass(frozen=True, kw_only=True)
class ProposedCandidate:
    """A candidate, and the knob values that give it if it lies in the job's space."""

    candidate: Candidate
    params: Mapping[str, Scalar] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the job has a candidate: among the proposed ones, among the trials, or in both."""

    record: CandidateRecord | None
    trial: TrialRecord | None


def check_open(job: JobRecord) -> None:
    """Raise NotRunning if the job's search is over."""
    if JobState(job.state) not in _OPEN_STATES:
        raise NotRunning(f"job {job.id} is {job.state}: it takes no candidates")
    if Phase(job.phase) in _AFTER_THE_SEARCH:
        raise NotRunning(
            f"the search of job {job.id} is over, it is in its phase {job.phase}: clone the job, "
            "or start another with warm_start"
        )


def begin_post(
    session: Session, job: JobRecord, *, key: str, body_sha256: str, owner: str = ""
) -> bool:
    """Record a request under its owner's key. Returns False if it repeats an earlier one.

    Raises:
        IdempotencyConflict: the key came with another body of this owner for this job before.
    """
    job = jobs.lock(session, job.id)
    older = session.get(CandidatePostRecord, (job.id, "", key))
    if older is not None and older.body_sha256 == body_sha256:
        # Also requests from before requests had owners.
        return False
    values = {
        "job_id": job.id,
        "owner": owner,
        "idempotency_key": key,
        "body_sha256": body_sha256,
        "created_at": clock.utc_now(),
    }
    if insert_new(session, CandidatePostRecord, values):
        return True
    known = session.get_one(CandidatePostRecord, (job.id, owner, key))
    if known.body_sha256 != body_sha256:
        raise IdempotencyConflict(
            f"the idempotency key {key!r} came with other candidates for job {job.id}: use a new "
            "key"
        )
    return False


def find(session: Session, job_id: str, digest: str) -> Found:
    """Locate the candidate with this digest in the job. All fields are None if it is unknown."""
    record = session.scalars(
        select(CandidateRecord).where(
            CandidateRecord.job_id == job_id, CandidateRecord.candidate_digest == digest
        )
    ).one_or_none()
    if record is not None and record.trial_id is not None:
        return Found(record=record, trial=session.get_one(TrialRecord, record.trial_id))
    trial = select(TrialRecord).where(
        TrialRecord.job_id == job_id,
        TrialRecord.candidate_digest == digest,
        TrialRecord.phase.in_((Phase.BASELINE, Phase.SEARCH)),
        TrialRecord.origin != RERUN,
    )
    return Found(record=record, trial=session.scalars(trial.order_by(TrialRecord.number)).first())


def add(
    session: Session, job: JobRecord, proposed: ProposedCandidate, *, origin: str
) -> CandidateRecord:
    """Add a candidate that waits to be tried; event ``candidate.proposed``.

    The caller has checked whether the job has it already.

    Raises:
        BudgetExhausted: every search trial of the budget is taken or spoken for.
    """
    job = jobs.lock(session, job.id)
    if room(session, job) < 1:
        raise BudgetExhausted(
            f"job {job.id} has no room for another candidate: all {jobs.spec(job).search_trials} "
            "search trials of its budget are made or spoken for"
        )
    last = select(func.max(CandidateRecord.number)).where(CandidateRecord.job_id == job.id)
    number = session.scalar(last)
    canonical = proposed.candidate.canonical()
    record = CandidateRecord(
        id=str(uuid.uuid4()),
        job_id=job.id,
        number=0 if number is None else number + 1,
        origin=origin,
        candidate=canonical.model_dump(mode="json"),
        candidate_digest=canonical.digest(),
        params=None if proposed.params is None else dict(proposed.params),
        note=proposed.note,
        created_at=clock.utc_now(),
    )
    session.add(record)
    session.flush()
    news = {"candidate": record.id, "description": canonical.describe(), "origin": origin}
    events.append(session, job, "candidate.proposed", news)
    return record


def room(session: Session, job: JobRecord) -> int:
    """Return how many search trials of the budget are neither made nor reserved by a candidate."""
    made = select(func.count()).where(
        TrialRecord.job_id == job.id,
        TrialRecord.phase == Phase.SEARCH,
        TrialRecord.origin != RERUN,
    )
    spoken_for = select(func.count()).select_from(_waiting(job.id).subquery())
    taken = (session.scalar(made) or 0) + (session.scalar(spoken_for) or 0)
    return jobs.spec(job).search_trials - taken


def waiting(session: Session, job_id: str) -> list[CandidateRecord]:
    """Return the candidates that no trial tries yet, in order."""
    return list(session.scalars(_ALL_WAITING, {"job": job_id}))


def any_waiting(session: Session, job_id: str) -> bool:
    """Return whether a candidate waits for its trial."""
    return session.scalars(_ANY_WAITING, {"job": job_id}).first() is not None


def check_none_waits(session: Session, job: JobRecord) -> None:
    """Raise CandidatesWait if a proposed candidate waits: it comes before those of a sampler.

    The caller holds the job's row.
    """
    if any_waiting(session, job.id):
        raise CandidatesWait(f"candidates proposed to job {job.id} are tried first")


def is_tried_by(session: Session, job: JobRecord, candidate_id: str, trial_id: str) -> None:
    """Record that the trial tries the candidate."""
    jobs.lock(session, job.id)
    session.get_one(CandidateRecord, candidate_id).trial_id = trial_id


def drop_waiting(session: Session, job: JobRecord, reason: str) -> int:
    """Drop the candidates that wait; no trial will try them. Returns how many there were."""
    jobs.lock(session, job.id)
    found = waiting(session, job.id)
    for record in found:
        record.dropped = reason
    return len(found)


def page(
    session: Session, job_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[CandidateRecord], str | None]:
    """Return one page of the job's proposed candidates, by number. Raises InvalidCursor."""
    query = select(CandidateRecord).where(CandidateRecord.job_id == job_id)
    key = (CandidateRecord.number,)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=False)


def _waiting(job_id: object) -> Select[CandidateRecord]:
    return select(CandidateRecord).where(
        CandidateRecord.job_id == job_id,
        CandidateRecord.trial_id.is_(None),
        CandidateRecord.dropped.is_(None),
    )


_ANY_WAITING = _waiting(bindparam("job")).limit(1)
_ALL_WAITING = _waiting(bindparam("job")).order_by(CandidateRecord.number)
