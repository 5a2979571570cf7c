"""The service itself: workers, health, readiness, metrics, and the schema of a job."""

import logging
from functools import partial
from typing import Any, Literal

import httpx2
from fastapi import Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from featherweight.specs.cluster import WorkerSchema
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import Page
from service.access.auth import PUBLIC, READ
from service.dashboard import proxy
from service.http.parameters import Cursor, Limit
from service.http.routing import router as guarded
from service.resources import Resources, ResourcesDep
from store.attempts import faults, views, workers
from store.cluster import liveness
from store.database import schema
from store.database.outages import OUTAGES
from store.files import disk
from store.jobs import statistics
from store.jobs.statistics import Statistics
from store.paging import MAX_LIMIT

router = guarded("system")

WORKERS_SEEN_SECONDS = 60.0
_READY_SECONDS = 1.0
_COUNTED_SECONDS = 2.0
Health = Literal["ok", "failed"]
_log = logging.getLogger(__name__)


class HealthSchema(BaseModel, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadinessSchema(BaseModel, frozen=True):
    """The state of each dependency; ``ready`` says whether the service can do its own work."""

    ready: bool
    dependencies: dict[str, Health] = Field(
        description="database, schema and files are needed; searcher and dashboard are for others."
    )
    free_bytes: int | None = Field(
        default=None,
        description="Free where the files are, or an SQLite database if that is less; None where "
        "nothing can be written.",
    )


@router.get("/v1/workers", operation_id="list_workers", dependencies=[READ])
def list_workers(
    resources: ResourcesDep, limit: Limit = MAX_LIMIT, cursor: Cursor = None
) -> Page[WorkerSchema]:
    """List workers heard of within the last minute, by name, with their trials."""
    with resources.database.read() as session:
        busy = workers.current_trials(session)
        found, following = workers.page(
            session, seconds=WORKERS_SEEN_SECONDS, limit=limit, cursor=cursor
        )
        aside = faults.all_set_aside(session, [record.name for record in found])
        items = tuple(
            views.worker(record, busy.get(record.boot_id), aside.get(record.name))
            for record in found
        )
    return Page(items=items, next_cursor=following)


@router.get("/v1/schemas/job", operation_id="get_job_schema", dependencies=[PUBLIC])
async def get_job_schema() -> dict[str, Any]:
    """The JSON schema of a job."""
    return JobSpec.model_json_schema()


@router.get("/openapi.json", dependencies=[PUBLIC], include_in_schema=False)
async def get_openapi(request: Request) -> JSONResponse:
    """The document that describes these addresses."""
    return JSONResponse(request.app.openapi())


@router.get("/healthz", operation_id="get_health", dependencies=[PUBLIC])
async def get_health() -> HealthSchema:
    """Say that the process answers."""
    return HealthSchema()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    dependencies=[PUBLIC],
    responses={503: {"model": ReadinessSchema, "description": "Something needed does not work"}},
)
async def get_readiness(resources: ResourcesDep, response: Response) -> ReadinessSchema:
    """Check everything that the service needs, one by one, at most once a second."""
    found = await resources.momentary.get(
        "readiness", partial(_readiness, resources), seconds=_READY_SECONDS
    )
    if not found.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return found


@router.get(
    "/metrics",
    operation_id="get_metrics",
    dependencies=[READ],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(resources: ResourcesDep) -> Response:
    """Metrics in Prometheus' text format; what is in the store is counted every two seconds."""
    count = partial(_statistics, resources)
    counted = await resources.momentary.get("statistics", count, seconds=_COUNTED_SECONDS)
    page = await run_in_threadpool(resources.metrics.page, counted)
    return Response(page, media_type="text/plain; version=0.0.4")


def _statistics(resources: Resources) -> Statistics:
    with resources.database.read() as session:
        return statistics.read(session)


def _readiness(resources: Resources) -> ReadinessSchema:
    free_bytes = _free_bytes(resources)
    has_room = free_bytes is not None and free_bytes >= resources.settings.min_free_bytes
    found: dict[str, Health] = {
        "database": _database(resources),
        "schema": _schema(resources),
        "files": "ok" if has_room else "failed",
        "searcher": _searcher(resources),
        "dashboard": _dashboard(resources),
    }
    ready = all(found[needed] == "ok" for needed in ("database", "schema", "files"))
    return ReadinessSchema(ready=ready, dependencies=found, free_bytes=free_bytes)


def _database(resources: Resources) -> Health:
    try:
        with resources.database.read() as session:
            liveness.searcher_is_alive(session)
    except OUTAGES:
        return "failed"
    return "ok"


def _schema(resources: Resources) -> Health:
    # Loaded when the service starts; it takes Alembic a third of a second.
    from store.database import migrate

    try:
        with resources.database.read() as session:
            return "ok" if schema.revision(session) == migrate.head() else "failed"
    except OUTAGES:
        return "failed"


def _free_bytes(resources: Resources) -> int | None:
    """Return the free bytes where we write, tested by writing; None if that fails."""
    folders = (resources.files.folder, disk.database_folder(resources.database.url))
    try:
        return min(disk.probe(folder) for folder in folders if folder is not None)
    except OSError as error:
        _log.error("nothing can be written: %s", error)
        return None


def _searcher(resources: Resources) -> Health:
    try:
        with resources.database.read() as session:
            return "ok" if liveness.searcher_is_alive(session) else "failed"
    except OUTAGES:
        return "failed"


def _dashboard(resources: Resources) -> Health:
    try:
        known = {proxy.SECRET_HEADER: resources.dashboard.headers[proxy.SECRET_HEADER]}
        address = f"{resources.settings.dashboard_address}/dashboard"
        answer = httpx2.get(address, headers=known, timeout=1.0)
    except httpx2.HTTPError:
        return "failed"
    return "ok" if answer.is_success else "failed"
