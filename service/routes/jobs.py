"""Jobs: submit them, look at them, control them, and read their results."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from featherweight.specs.job import JobSpec
from featherweight.specs.jobs.editing import JobChanges
from featherweight.specs.schemas import (
    Counts,
    DryRunSchema,
    FrontSchema,
    JobSchema,
    Page,
    RecommendationSchema,
    ReportSchema,
    TrialSchema,
)
from featherweight.specs.states import JobState, TrialState
from search.queue import warm_start
from service.access.auth import READ, SUBMIT
from service.access.callers import Owner, Sender
from service.http.examples import JOB_EXAMPLE, TAUGHT_EXAMPLE
from service.http.openapi import CHANGES, LOCATION, problems
from service.http.parameters import (
    Cursor,
    IdempotencyKey,
    IdPrefix,
    JobId,
    JobTag,
    JobTitle,
    Limit,
    TrialNumber,
)
from service.http.routing import router as guarded
from service.intake import submission
from service.reports import forecasts, fronts, job_warnings, report
from service.resources import Resources, ResourcesDep
from service.shared import conditional
from service.shared.answers import KeptAnswer
from service.shared.conditional import NOT_MODIFIED
from store.access import audit, limits, owners
from store.access.audit import Action
from store.access.owners import Caller
from store.attempts import losses, views
from store.errors import JobDeleted
from store.housekeeping import deletion, removal
from store.jobs import editing, jobs
from store.session import Session
from store.tables.records import JobRecord
from store.trials import trials

router = guarded("jobs")

_REMOVAL_SECONDS = 3.0
"""If a job has more rows and files than can be removed in this time, the rest goes later."""
_FORECAST_SECONDS = 1.0
"""How old a forecast may be, as it says how long the job has run."""
_YAML_TOO: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/yaml": {
                "schema": {"$ref": "#/components/schemas/JobSpec-Input"},
                "example": JOB_EXAMPLE,
            }
        }
    }
}
_CHANGES: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": CHANGES}}}}
}
_CREATED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": JobSchema | DryRunSchema,
        "description": "The job that this key made before; or, for a dry run, what it would do",
    },
    201: {"model": JobSchema, "description": "The job was made", "headers": LOCATION},
}


@router.post(
    "/v1/jobs",
    operation_id="submit_job",
    status_code=201,
    response_model=None,
    dependencies=[SUBMIT],
    responses={**_CREATED, **problems(409)},
    openapi_extra=_YAML_TOO,
)
def submit_job(
    resources: ResourcesDep,
    sender: Sender,
    response: Response,
    spec: Annotated[JobSpec, Body(examples=[JOB_EXAMPLE, TAUGHT_EXAMPLE])],
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="Only say what the job would do.")] = False,
) -> JobSchema | DryRunSchema:
    """Start a job. With a key, a repeat of the request gets the same job."""
    if dry_run:
        response.status_code = 200
        with resources.database.read() as session:
            return submission.preview(submission.check(session, spec))
    return _submit(resources, response, Submission(spec=spec, sender=sender, key=idempotency_key))


@router.get("/v1/jobs", operation_id="list_jobs", dependencies=[READ])
def list_jobs(  # noqa: PLR0913 - every filter, by name
    resources: ResourcesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: JobState | None = None,
    owner: Owner = None,
    name: JobTitle = None,
    id: IdPrefix = None,
    tag: JobTag = None,
) -> Page[JobSchema]:
    """All jobs, newest first; those of a state, owner, name or tag, or with ids that begin so."""
    with resources.database.read() as session:
        records, following = jobs.page(
            session,
            limit=limit,
            cursor=cursor,
            state=state,
            owner=owner,
            name=name,
            prefix=id,
            tag=tag,
        )
        counts = jobs.counts(session, [record.id for record in records])
        items = tuple(views.job(record, counts[record.id]) for record in records)
    return Page(items=items, next_cursor=following)


@router.get(
    "/v1/jobs/{job_id}",
    operation_id="get_job",
    dependencies=[READ],
    response_model=JobSchema,
    responses=NOT_MODIFIED,
)
async def get_job(resources: ResourcesDep, request: Request, job_id: JobId) -> Response:
    """Return one job, with a forecast of its time from what is known now.

    A deleted job is shown, in the state `deleted`, while another job names it as its warm start.
    """
    try:
        return await resources.answers.respond(request, job_id, _job, seconds=_FORECAST_SECONDS)
    except JobDeleted:
        left = await run_in_threadpool(_deleted, resources, job_id)
        return conditional.respond(request, left.body, etag=left.etag)


@router.delete(
    "/v1/jobs/{job_id}",
    operation_id="delete_job",
    status_code=204,
    dependencies=[SUBMIT],
    responses=problems(409),
)
def delete_job(resources: ResourcesDep, sender: Sender, job_id: JobId) -> Response:
    """Delete a job that has ended, with its trials, their files, its events and its study.

    This is refused while an unfinished job starts from it.
    """
    with resources.database.write() as session:
        job = jobs.lock_alone(session, job_id)
        owners.check(job, sender)
        deletion.begin(session, job)
        audit.note(session, sender.name, "deleted", job)
    removal.finish(resources.database, resources.files, job_id, seconds=_REMOVAL_SECONDS)
    return Response(status_code=204)


@router.patch(
    "/v1/jobs/{job_id}",
    operation_id="edit_job",
    dependencies=[SUBMIT],
    responses=problems(409),
)
def edit_job(
    resources: ResourcesDep,
    sender: Sender,
    job_id: JobId,
    changes: Annotated[JobChanges, Body(examples=[{"priority": 5, "tags": ["night run"]}])],
) -> JobSchema:
    """Change name, tags, priority, and the budget upwards; a search that is over opens again."""
    with resources.database.write() as session:
        job = jobs.lock(session, job_id)
        owners.check(job, sender)
        news = editing.edit(session, job, changes)
        if news.get("opened"):
            limits.check_jobs(session, job.owner, most=resources.settings.jobs_per_token)
        if news:
            audit.note(session, sender.name, "edited", job, fields=" ".join(sorted(news)))
        return _view(session, job)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    dependencies=[SUBMIT],
    responses=problems(409),
)
def cancel_job(resources: ResourcesDep, sender: Sender, job_id: JobId) -> JobSchema:
    """Stop a job for good; its files stay. A repeat while it stops changes nothing."""
    return _change(resources, sender, job_id, jobs.cancel, "cancelled")


@router.post(
    "/v1/jobs/{job_id}/pause",
    operation_id="pause_job",
    dependencies=[SUBMIT],
    responses=problems(409),
)
def pause_job(resources: ResourcesDep, sender: Sender, job_id: JobId) -> JobSchema:
    """Hand out no more trials; running trials continue."""
    return _change(resources, sender, job_id, jobs.pause, "paused")


@router.post(
    "/v1/jobs/{job_id}/resume",
    operation_id="resume_job",
    dependencies=[SUBMIT],
    responses=problems(409),
)
def resume_job(resources: ResourcesDep, sender: Sender, job_id: JobId) -> JobSchema:
    """Continue after a pause. This is refused while a file that the job waits for is lost."""
    with resources.database.read() as session:
        paused = jobs.get(session, job_id)
        owners.check(paused, sender)
    losses.check_found(resources.files, paused)
    return _change(resources, sender, job_id, jobs.resume, "resumed")


@router.post(
    "/v1/jobs/{job_id}/clone",
    operation_id="clone_job",
    status_code=201,
    dependencies=[SUBMIT],
    responses={201: {"headers": LOCATION}, **problems(409)},
    openapi_extra=_CHANGES,
)
def clone_job(
    resources: ResourcesDep,
    sender: Sender,
    response: Response,
    job_id: JobId,
    changes: Annotated[dict[str, Any], Body(examples=[{"name": "again", "seed": 1}])],
) -> JobSchema:
    """Submit a job's spec again, with some of its fields replaced."""
    with resources.database.read() as session:
        document = jobs.get(session, job_id).spec
    spec = submission.changed(document, changes)
    return _submit(resources, response, Submission(spec=spec, sender=sender, cloned=job_id))


@router.get("/v1/jobs/{job_id}/trials", operation_id="list_trials", dependencies=[READ])
def list_trials(
    resources: ResourcesDep,
    job_id: JobId,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: TrialState | None = None,
    number: TrialNumber = None,
) -> Page[TrialSchema]:
    """Trials of a job, by number."""
    with resources.database.read() as session:
        jobs.get(session, job_id)
        found, following = trials.page(
            session, job_id, limit=limit, cursor=cursor, state=state, number=number
        )
        return Page(items=tuple(views.trial(one) for one in found), next_cursor=following)


@router.get(
    "/v1/jobs/{job_id}/front",
    operation_id="get_front",
    dependencies=[READ],
    response_model=FrontSchema,
    responses=NOT_MODIFIED,
)
async def get_front(resources: ResourcesDep, request: Request, job_id: JobId) -> Response:
    """The best files so far, by ascending size; valid at every moment of the search."""
    return await resources.answers.respond(request, job_id, fronts.front)


@router.get(
    "/v1/jobs/{job_id}/recommendation",
    operation_id="get_recommendation",
    dependencies=[READ],
    response_model=RecommendationSchema,
    responses=NOT_MODIFIED,
)
async def get_recommendation(resources: ResourcesDep, request: Request, job_id: JobId) -> Response:
    """One file to take, and why."""
    return await resources.answers.respond(request, job_id, fronts.recommendation)


@router.get(
    "/v1/jobs/{job_id}/report",
    operation_id="get_report",
    dependencies=[READ],
    response_model=ReportSchema,
    responses=NOT_MODIFIED,
)
async def get_report(resources: ResourcesDep, request: Request, job_id: JobId) -> Response:
    """Return controls, finalists over their seeds, the time spent, and why trials ended."""
    return await resources.answers.respond(request, job_id, _report)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job to start: under a key, or as the clone of another one."""

    spec: JobSpec
    sender: Caller
    key: str | None = None
    cloned: str | None = None


def _submit(resources: Resources, response: Response, asked: Submission) -> JobSchema:
    # Checks take as long as a job is large: nobody else waits for them, and ``create`` looks again
    # whether what they found is still there.
    with resources.database.read() as session:
        checked = submission.check(session, asked.spec)
    with resources.database.write() as session:
        job, is_new = jobs.create(
            session,
            asked.spec,
            model=checked.model,
            teacher=checked.teacher,
            supernet=checked.supernet,
            dataset=checked.dataset,
            idempotency_key=asked.key,
            body_sha256=submission.digest(asked.spec),
            owner=asked.sender.name,
        )
        if is_new:
            limits.check_jobs(session, job.owner, most=resources.settings.jobs_per_token)
            warm_start.begin(session, job, checked.start)
            _note_new(session, job, asked)
        view = _view(session, job) if not is_new else views.job(job, Counts())
        view = view.model_copy(update={"warnings": checked.warnings})
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/jobs/{view.id}"
    return view


def _note_new(session: Session, job: JobRecord, asked: Submission) -> None:
    if asked.cloned is None:
        audit.note(session, asked.sender.name, "created", job)
    else:
        audit.note(session, asked.sender.name, "cloned", job, job=asked.cloned)


def _change(
    resources: Resources,
    sender: Caller,
    job_id: str,
    change: Callable[[Session, str], JobRecord],
    action: Action,
) -> JobSchema:
    """Make a change of the job that its owner may make; a repeat is not recorded again."""
    with resources.database.write() as session:
        job = jobs.lock(session, job_id)
        owners.check(job, sender)
        before = job.state
        if change(session, job_id).state != before:
            audit.note(session, sender.name, action, job)
        return _view(session, job)


def _deleted(resources: Resources, job_id: str) -> KeptAnswer:
    with resources.database.read() as session:
        view = views.deleted_job(jobs.deleted(session, job_id))
    return KeptAnswer(version=view.last_event, body=view.model_dump_json(by_alias=True).encode())


def _view(session: Session, job: JobRecord) -> JobSchema:
    return views.job(job, jobs.counts(session, [job.id])[job.id])


def _job(session: Session, job: JobRecord) -> JobSchema:
    found = {
        "forecast": forecasts.of_job(session, job),
        "warnings": job_warnings.of_job(session, job),
    }
    return _view(session, job).model_copy(update=found)


def _report(session: Session, job: JobRecord) -> ReportSchema:
    return report.report(session, job, jobs.counts(session, [job.id])[job.id])
