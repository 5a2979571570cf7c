"""Change states, checked against the tables of ``featherweight.specs.states``.

Callers hold the job's row (see ``store.session`` for the order of locks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from featherweight.specs.states import (
    ATTEMPT_TRANSITIONS,
    FINAL_STATE,
    JOB_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptState,
    JobState,
    PauseReason,
    Phase,
    StopReason,
    TrialState,
)
from store.database import clock
from store.errors import IllegalTransition
from store.jobs import events
from store.tables.records import AttemptRecord, JobRecord, TrialRecord

_MOST_DESCRIBED = 20_000
_described: dict[str, str] = {}
"""Words by the digest of the candidate, as far as this process has been asked for them."""


def move_job(
    session: Session,
    job: JobRecord,
    to: JobState,
    *,
    reason: StopReason | None = None,
    detail: str = "",
    pause_reason: PauseReason | None = None,
) -> None:
    """Change the job's state and its times; event ``job.<state>``.

    Raises:
        IllegalTransition: the table does not allow it, the final state is not the stop reason's, or
            a trial of the job is not finished yet.
    """
    _check(JOB_TRANSITIONS, JobState(job.state), to, f"job {job.id}")
    if to is JobState.STOPPING:
        job.stop_reason, job.stop_detail = StopReason(reason or ""), detail
    if to.is_finished:
        _check_final(job, to)
    _set_times(job, to)
    job.state, job.pause_reason, job.pause_file = to, pause_reason, None
    job.pause_detail = detail if pause_reason else None
    said = job.stop_reason or pause_reason
    data = {} if said is None else {"reason": said}
    events.append(session, job, f"job.{to}", data | ({"detail": detail} if detail else {}))


def _check_final(job: JobRecord, to: JobState) -> None:
    wanted = FINAL_STATE[StopReason(job.stop_reason or "")]
    if to is not wanted:
        raise IllegalTransition(
            f"job {job.id} stops as {job.stop_reason}: it ends {wanted}, not {to}"
        )
    unfinished = job.counts.get(TrialState.WAITING, 0) + job.counts.get(TrialState.RUNNING, 0)
    if unfinished:
        raise IllegalTransition(f"job {job.id} cannot end: {unfinished} trials are not finished")


def _set_times(job: JobRecord, to: JobState) -> None:
    now = clock.utc_now()
    if job.paused_at is not None:
        job.paused_seconds += (now - job.paused_at).total_seconds()
        job.paused_at = None
    if to is JobState.RUNNING and job.started_at is None:
        job.started_at = now
    if to is JobState.PAUSED:
        job.paused_at = now
    if to.is_finished:
        job.finished_at = now


def move_trial(
    session: Session,
    job: JobRecord,
    trial: TrialRecord,
    to: TrialState,
    *,
    reason: str = "",
    news: Mapping[str, Any] | None = None,
) -> None:
    """Change the trial's state, times and reason; event ``trial.<state>``.

    Raises:
        IllegalTransition: the table does not allow it.
    """
    _check(TRIAL_TRANSITIONS, TrialState(trial.state), to, f"trial {trial.id}")
    count(job, minus=TrialState(trial.state), plus=to)
    trial.state, trial.reason = to, reason
    if to is TrialState.RUNNING and trial.started_at is None:
        trial.started_at = clock.utc_now()
    if to.is_finished:
        trial.finished_at = clock.utc_now()
    data = dict(news or {}) | ({"reason": reason} if reason else {})
    announce(session, job, trial, to, data)


def announce(
    session: Session, job: JobRecord, trial: TrialRecord, what: str, news: Mapping[str, Any]
) -> None:
    """Write the event ``trial.<what>`` with the trial and the news."""
    data = {"trial": trial.id, "number": trial.number, **news}
    events.append(session, job, f"trial.{what}", data)


def describe(trial: TrialRecord) -> str:
    """Return the trial's candidate in words, or the task of a trial that has no candidate."""
    if trial.phase == Phase.TEST:
        return "measure the files of the front on test"
    digest = trial.candidate_digest
    known = _described.get(digest)
    if known is not None:
        return known
    words = Candidate.of_record(trial.candidate).describe()
    if len(_described) >= _MOST_DESCRIBED:
        # Another thread may be reading, but no thread relies on an earlier entry.
        _described.clear()
    _described[digest] = words
    return words


def count(job: JobRecord, *, plus: TrialState, minus: TrialState | None = None) -> None:
    """Update the job's counts of trials by state."""
    counts = dict(job.counts)
    counts[plus] = counts.get(plus, 0) + 1
    if minus is not None:
        counts[minus] -= 1
    job.counts = counts


def move_attempt(attempt: AttemptRecord, to: AttemptState, *, detail: str = "") -> None:
    """End the attempt.

    Raises:
        IllegalTransition: it has ended already.
    """
    _check(ATTEMPT_TRANSITIONS, AttemptState(attempt.state), to, f"attempt {attempt.id}")
    attempt.state, attempt.detail, attempt.finished_at = to, detail, clock.utc_now()


def stop_waiting(
    session: Session, job: JobRecord, reason: str, *, phase: Phase | None = None
) -> int:
    """Stop every waiting trial of the job, or of one phase. Returns how many there were."""
    query = select(TrialRecord).where(
        TrialRecord.job_id == job.id, TrialRecord.state == TrialState.WAITING
    )
    if phase is not None:
        query = query.where(TrialRecord.phase == phase)
    trials = session.scalars(query.order_by(TrialRecord.number).with_for_update()).all()
    for trial in trials:
        move_trial(session, job, trial, TrialState.STOPPED, reason=reason)
    return len(trials)


State = JobState | TrialState | AttemptState


def _check(table: Mapping[Any, frozenset[Any]], now: State, to: State, what: str) -> None:
    if to not in table[now]:
        allowed = sorted(table[now]) or "nothing else, ever"
        raise IllegalTransition(f"{what} is {now} and can become {allowed}, not {to}")
