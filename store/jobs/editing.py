"""Change a job that is there: its name, tags and priority, and its budget upwards.

More to spend opens a search that is over: the job runs again, in the phase of its search. Finish
trials that it had are not taken from what is new, so their number comes on top of the budget.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from featherweight.specs.job import JobSpec
from featherweight.specs.jobs.editing import BudgetRaise, JobChanges
from featherweight.specs.states import JobState, Phase, StopReason
from store.database import clock
from store.errors import BudgetLowered, NotOpenedAgain
from store.jobs import events, jobs
from store.tables.records import JobRecord, JobTagRecord, TrialRecord, table_of

_TAGS = table_of(JobTagRecord)
_OVER = (Phase.FINISH, Phase.TEST)
_OPENED = (StopReason.FINISHED, StopReason.CANCELLED, StopReason.NOTHING_SUCCEEDED)
"""Reasons after which more budget can help: the baseline stands, and the search ended."""


def edit(session: Session, job: JobRecord, changes: JobChanges) -> dict[str, Any]:
    """Change the job, whose row the caller has locked; event ``job.edited``.

    Returns what has changed, by name: nothing if everything was so already.

    Raises:
        BudgetLowered: a limit would be lower than it is.
        NotOpenedAgain: the job is over, and its search cannot go on.
    """
    news: dict[str, Any] = {}
    if changes.name is not None and changes.name != job.name:
        _keep_name(job, changes.name)
        news["name"] = changes.name
    if changes.tags is not None and list(changes.tags) != (job.tags or []):
        _keep_tags(session, job, list(changes.tags))
        news["tags"] = list(changes.tags)
    if changes.priority is not None and changes.priority != job.priority:
        news["priority"] = job.priority = changes.priority
    if changes.budget is not None and (raised := _raised(job, changes.budget)):
        news |= {"budget": raised} | ({"opened": True} if _raise(session, job, raised) else {})
    if news:
        events.append(session, job, "job.edited", news)
    return news


def _keep_name(job: JobRecord, name: str) -> None:
    job.name, job.spec = name, job.spec | {"name": name}


def _keep_tags(session: Session, job: JobRecord, tags: list[str]) -> None:
    session.execute(delete(_TAGS).where(_TAGS.c.job_id == job.id))
    if tags:
        session.execute(insert(_TAGS), [{"job_id": job.id, "tag": tag} for tag in tags])
    job.tags = tags


def _raised(job: JobRecord, asked: BudgetRaise) -> dict[str, Any]:
    """Return the limits that become higher. Raises BudgetLowered."""
    now = jobs.spec(job).budget.model_dump()
    raised = {name: value for name, value in asked.given.items() if value != now[name]}
    for name, value in raised.items():
        if value is not None and (now[name] is None or value < now[name]):
            limit = "no limit" if now[name] is None else f"{now[name]:g}"
            raise BudgetLowered(
                f"budget.{name} is {limit} and can only be raised, not set to {value:g}: cancel "
                "the job, or clone it with a smaller budget"
            )
    return raised


def _raise(session: Session, job: JobRecord, raised: dict[str, Any]) -> bool:
    """Write the new limits, and open a search that is over. Returns whether it was opened."""
    is_over = job.phase in _OVER or JobState(job.state).is_finished
    if is_over or job.state == JobState.STOPPING:
        _check_opens(job)
    job.spec = job.spec | {"budget": job.spec["budget"] | raised}
    spec = jobs.spec(job)
    job.budget_trials = spec.budget.trials + _num_finish_trials(session, job)
    if is_over:
        _check_time(job, spec)
        _open(session, job)
    return is_over


def _check_opens(job: JobRecord) -> None:
    if job.state == JobState.STOPPING:
        raise NotOpenedAgain(f"job {job.id} is stopping: raise its budget once it has ended")
    has_searched = job.baseline is not None and job.phase in (Phase.SEARCH, *_OVER)
    if JobState(job.state).is_finished and (job.stop_reason not in _OPENED or not has_searched):
        raise NotOpenedAgain(
            f"job {job.id} ended before its search ({job.stop_reason}): no budget helps; mend the "
            "cause and clone it"
        )


def _check_time(job: JobRecord, spec: JobSpec) -> None:
    seconds, run = spec.budget.seconds, jobs.running_seconds(job, clock.utc_now())
    if seconds is not None and run >= seconds:
        raise NotOpenedAgain(
            f"job {job.id} has run for {run:.0f} s and its budget.seconds are {seconds:g}: raise "
            "them, too"
        )


def _num_finish_trials(session: Session, job: JobRecord) -> int:
    query = select(func.count()).where(
        TrialRecord.job_id == job.id,
        TrialRecord.phase == Phase.FINISH,
        TrialRecord.origin == "finish",
    )
    return session.execute(query).scalar_one()


def _open(session: Session, job: JobRecord) -> None:
    """Put the job back into its search; the time since its end counts as a pause."""
    if job.finished_at is not None:
        job.paused_seconds += (clock.utc_now() - job.finished_at).total_seconds()
        job.state, job.finished_at = JobState.RUNNING, None
        events.append(session, job, f"job.{JobState.RUNNING}", {"reason": "opened_again"})
    job.stop_reason, job.stop_detail = None, ""
    job.phase = Phase.SEARCH
    said = {"phase": Phase.SEARCH, "detail": "the budget was raised"}
    events.append(session, job, "job.phase", said)
