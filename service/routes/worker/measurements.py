"""Meters: which there are, and the protocol of measurements: claim, heartbeat, result, release."""

import time
from functools import partial
from typing import Annotated

import anyio
from fastapi import Body, Request, Response

from featherweight.specs.cluster import (
    MeterBeat,
    MeterClaim,
    MeterReading,
    MeterResult,
    MeterSchema,
    MeterTask,
)
from service.access import auth
from service.access.auth import READ, WORK
from service.http.examples import METER_EXAMPLE
from service.http.openapi import problems
from service.http.parameters import ArtifactId, Fence, MeasurementId
from service.http.routing import router as guarded
from service.reports import metering
from service.resources import Resources, ResourcesDep
from service.routes.worker.writing import write
from service.shared import metrics
from store.files import artifacts
from store.meters import meterings, meters, plans

router = guarded("meters")
_SCOPES = frozenset({"work"})
_LOOK_SECONDS = 0.5
_MOST_LOOKS = 4
"""Jobs whose files are chosen within one claim, at most."""


@router.get("/v1/meters", operation_id="list_meters", dependencies=[READ])
def list_meters(resources: ResourcesDep) -> tuple[MeterSchema, ...]:
    """Devices that measure files of others, by name, and how many files wait for each."""
    with resources.database.read() as session:
        return meters.every(session)


@router.get(
    "/v1/artifacts/{artifact_id}/measurements",
    operation_id="list_measurements",
    dependencies=[READ],
)
def list_measurements(resources: ResourcesDep, artifact_id: ArtifactId) -> tuple[MeterReading, ...]:
    """What meters measured of a file or have yet to measure, by their names."""
    with resources.database.read() as session:
        return meterings.of_artifact(session, artifacts.get(session, artifact_id).id)


@router.post(
    "/v1/measurements",
    operation_id="claim_measurement",
    dependencies=[WORK],
    responses={
        200: {"model": MeterTask, "description": "A file for this meter"},
        204: {"description": "There was nothing to measure"},
    },
    response_model=None,
)
async def claim_measurement(
    resources: ResourcesDep,
    request: Request,
    claim: Annotated[MeterClaim, Body(examples=[METER_EXAMPLE])],
) -> Response:
    """Ask for a file to measure, and wait for one; the first claim makes the meter known."""
    deadline = time.monotonic() + min(claim.wait_seconds, resources.settings.claim_seconds)
    while True:
        changes_known = resources.notifications.num_changes
        found = await resources.lanes.for_worker(partial(_find, resources, claim))
        if found is not None:
            return Response(found.model_dump_json(), media_type="application/json")
        with metrics.waiting(request):
            meter = claim.meter.name
            if not await _something_to_do(resources, meter, changes_known, deadline):
                return Response(status_code=204)
        # The wait may have been long: a token that was revoked meanwhile gets nothing.
        await resources.lanes.for_worker(partial(auth.authorise, request, _SCOPES))


@router.post(
    "/v1/measurements/{measurement_id}/heartbeat",
    operation_id="beat_measurement",
    dependencies=[WORK],
    responses=problems(409),
)
async def beat_measurement(
    resources: ResourcesDep, measurement_id: MeasurementId, token: Fence
) -> MeterBeat:
    """Extend the lease of a measurement."""
    seconds = resources.settings.lease_seconds
    extend = partial(meterings.heartbeat, lease_seconds=seconds)
    return await write(resources, lambda session: extend(session, measurement_id, token))


@router.post(
    "/v1/measurements/{measurement_id}/result",
    operation_id="report_measurement",
    dependencies=[WORK],
    responses=problems(409),
)
async def report_measurement(
    resources: ResourcesDep, measurement_id: MeasurementId, token: Fence, result: MeterResult
) -> MeterReading:
    """Report what was measured. A repeat changes nothing."""
    return await write(
        resources, lambda session: meterings.report(session, measurement_id, token, result)
    )


@router.post(
    "/v1/measurements/{measurement_id}/release",
    operation_id="release_measurement",
    dependencies=[WORK],
    responses=problems(409),
)
async def release_measurement(
    resources: ResourcesDep, measurement_id: MeasurementId, token: Fence
) -> MeterReading:
    """Give the file back, uncounted, because the meter stops."""
    return await write(resources, lambda session: meterings.release(session, measurement_id, token))


async def _something_to_do(
    resources: Resources, meter: str, changes_known: int, deadline: float
) -> bool:
    """Wait for a change that brings work; False once the claim is over or the service stops."""
    while time.monotonic() < deadline and not resources.notifications.is_closed:
        await anyio.sleep(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
        now = resources.notifications.num_changes
        if now != changes_known:
            changes_known = now
            if await resources.lanes.for_worker(partial(_may_find, resources, meter)):
                return True
    return False


def _may_find(resources: Resources, meter: str) -> bool:
    """Look without writing: a write would wake everybody who waits."""
    with resources.database.read() as session:
        return meterings.has_open(session, meter) or plans.next_job(session, meter) is not None


def _find(resources: Resources, claim: MeterClaim) -> MeterTask | None:
    """Choose files of jobs that have changed, then lease one."""
    with resources.database.write() as session:
        meters.seen(session, claim.meter)
    for _ in range(_MOST_LOOKS):
        if not _looked(resources, claim.meter.name):
            break
    with resources.database.write() as session:
        seconds = resources.settings.lease_seconds
        return meterings.claim(session, claim.meter, lease_seconds=seconds)


def _looked(resources: Resources, meter: str) -> bool:
    """Choose the files of one job for the meter; False if no job has changed."""
    with resources.database.read() as session:
        job = plans.next_job(session, meter)
        if job is None:
            return False
        chosen = metering.to_measure(session, job)
    with resources.database.write() as session:
        plans.plan(session, meter, job, chosen)
    return True
