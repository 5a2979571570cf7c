"""The worker protocol: claim, heartbeat, files, report, complete, fail, release."""

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from typing import Annotated

from anyio import CancelScope
from fastapi import Body, Request, Response
from pydantic import BaseModel

from featherweight.specs.protocol import (
    Assignment,
    AttemptResult,
    ClaimRequest,
    Decision,
    Failure,
    Heartbeat,
    HeartbeatReply,
    Report,
)
from featherweight.specs.states import FailureClass
from search.early_stopping import rule
from service.access import auth
from service.access.auth import WORK
from service.errors import ServiceError
from service.http import body_parsing
from service.http.examples import WORKER_EXAMPLE
from service.http.openapi import problems
from service.http.parameters import AttemptId, Digest, Fence
from service.http.routing import router as guarded
from service.resources import Resources, ResourcesDep
from service.routes.uploads import RAW_BODY
from service.routes.worker.writing import write
from service.shared import metrics
from service.streaming.waiting import WaitingPlace
from store.attempts import attempts, faults, losses
from store.files import file_store
from store.files.file_store import Incoming, StoredFile
from store.tables.records import FileRecord

router = guarded("worker protocol")

_SCOPES = frozenset({"work"})
_SIT_OUT_SECONDS = 0.5
"""How soon a waiting worker that will get no trial notices that the service stops."""


class FileReceipt(BaseModel, frozen=True):
    """A file that is in the store."""

    sha256: str
    size_bytes: int


@router.post(
    "/v1/attempts",
    operation_id="claim_trial",
    dependencies=[WORK],
    responses={
        200: {"model": Assignment, "description": "A trial for this worker"},
        204: {"description": "There was nothing to do"},
    },
    response_model=None,
)
async def claim_trial(
    resources: ResourcesDep,
    request: Request,
    claim: Annotated[ClaimRequest, Body(examples=[WORKER_EXAMPLE])],
) -> Response:
    """Ask for a trial, and wait for one. A worker that has hung up gets none."""
    hung_up = asyncio.ensure_future(body_parsing.disconnected(request.receive))
    try:
        found = await _wait_for_trial(resources, request, claim, hung_up)
    finally:
        hung_up.cancel()
    if found is None:
        return Response(status_code=204)
    return Response(found.model_dump_json(), media_type="application/json")


@router.post(
    "/v1/attempts/{attempt_id}/heartbeat",
    operation_id="heartbeat",
    dependencies=[WORK],
    responses=problems(409),
)
async def heartbeat(
    resources: ResourcesDep, attempt_id: AttemptId, token: Fence, beat: Heartbeat
) -> HeartbeatReply:
    """Extend the lease; the answer may ask to stop."""
    seconds = resources.settings.lease_seconds
    return await write(
        resources, lambda s: attempts.heartbeat(s, attempt_id, token, beat, lease_seconds=seconds)
    )


@router.put(
    "/v1/attempts/{attempt_id}/files/{sha256}",
    operation_id="send_file",
    status_code=201,
    dependencies=[WORK],
    responses={
        200: {"model": FileReceipt, "description": "It was there already"},
        **problems(409, 413, 422),
    },
    openapi_extra=RAW_BODY,
)
async def send_file(
    resources: ResourcesDep,
    request: Request,
    response: Response,
    attempt_id: AttemptId,
    sha256: Digest,
    token: Fence,
) -> FileReceipt:
    """Send a file of the trial; it is kept only if it has this digest."""
    await resources.lanes.for_worker(partial(_check_fence, resources, attempt_id, token))
    limit, lane, pace = (
        resources.settings.max_upload_bytes,
        resources.lanes.worker_files,
        body_parsing.pace_of(request),
    )
    with lane.places.taken(body_parsing.senders(request), pace):
        arriving = await lane.run(partial(resources.files.arriving, limit=limit))
        try:
            chunks = body_parsing.bounded(request, limit=limit, pace=pace)
            await body_parsing.pass_on(
                chunks, lambda piece: lane.run(partial(arriving.write, piece))
            )
            stored, is_new = await lane.run(partial(_keep, resources, arriving, sha256))
        finally:
            with CancelScope(shield=True):
                await lane.run(arriving.drop)
    response.status_code = 201 if is_new else 200
    return FileReceipt(sha256=stored.sha256, size_bytes=stored.size_bytes)


@router.post(
    "/v1/attempts/{attempt_id}/reports",
    operation_id="report_rung",
    dependencies=[WORK],
    responses=problems(409),
)
async def report_rung(
    resources: ResourcesDep, attempt_id: AttemptId, token: Fence, report: Report
) -> Decision:
    """Report the measurement at a rung; the answer says if the trial goes on or has ended."""
    return await write(
        resources, lambda s: attempts.report(s, attempt_id, token, report, decide=rule.judge)
    )


@router.post(
    "/v1/attempts/{attempt_id}/complete",
    operation_id="complete_attempt",
    dependencies=[WORK],
    responses=problems(409),
)
async def complete_attempt(
    resources: ResourcesDep, attempt_id: AttemptId, token: Fence
) -> AttemptResult:
    """Say that the trial is over. The last report has usually ended it, so nothing changes."""
    return await write(resources, lambda s: attempts.complete(s, attempt_id, token))


@router.post(
    "/v1/attempts/{attempt_id}/fail",
    operation_id="fail_attempt",
    dependencies=[WORK],
    responses=problems(409),
)
async def fail_attempt(
    resources: ResourcesDep, attempt_id: AttemptId, token: Fence, failure: Failure
) -> AttemptResult:
    """Report why the attempt failed; the trial waits for another try or is given up.

    For a failure file_lost the service checks the file itself: only a file that is really lost
    pauses the job.
    """
    if failure.failure_class is FailureClass.FILE_LOST:
        await resources.lanes.for_worker(partial(_check_fence, resources, attempt_id, token))
        failure = await resources.lanes.for_worker(partial(losses.judge, resources.files, failure))
    return await write(resources, lambda s: attempts.fail(s, attempt_id, token, failure))


@router.post(
    "/v1/attempts/{attempt_id}/release",
    operation_id="release_attempt",
    dependencies=[WORK],
    responses=problems(409),
)
async def release_attempt(
    resources: ResourcesDep, attempt_id: AttemptId, token: Fence
) -> AttemptResult:
    """Give the trial back, uncounted, because the worker stops."""
    return await write(resources, lambda s: attempts.release(s, attempt_id, token))


async def _wait_for_trial(
    resources: Resources, request: Request, claim: ClaimRequest, hung_up: asyncio.Future[None]
) -> Assignment | None:
    wait_seconds = min(claim.wait_seconds, resources.settings.claim_seconds)
    deadline = time.monotonic() + wait_seconds
    changes_known = resources.notifications.num_changes
    if await resources.lanes.for_worker(partial(_is_set_aside, resources, claim.worker.name)):
        # It waits outside the line: a turn given to it would be lost to the others.
        await _sit_out(resources, request, hung_up, deadline)
        return None
    # Everybody claims once at once: the answer to an earlier claim may have been lost.
    found = await resources.lanes.for_worker(partial(_claim, resources, claim))
    if found is None and wait_seconds > 0:
        with resources.waiting_line.place(changes_known=changes_known) as place:
            found = await _wait_in_line(resources, request, claim, hung_up, place, deadline)
    return None if found is None else await _handed_over(resources, found, hung_up)


def _is_set_aside(resources: Resources, worker: str) -> bool:
    with resources.database.read() as session:
        return faults.set_aside(session, worker) is not None


async def _sit_out(
    resources: Resources, request: Request, hung_up: asyncio.Future[None], deadline: float
) -> None:
    with metrics.waiting(request):
        while (left := deadline - time.monotonic()) > 0 and not resources.notifications.is_closed:
            done, _ = await asyncio.wait({hung_up}, timeout=min(left, _SIT_OUT_SECONDS))
            if done:
                return


async def _wait_in_line(
    resources: Resources,
    request: Request,
    claim: ClaimRequest,
    hung_up: asyncio.Future[None],
    place: WaitingPlace,
    deadline: float,
) -> Assignment | None:
    while True:
        with metrics.waiting(request):
            is_called = await place.wait(hung_up, timeout=deadline - time.monotonic())
        if not is_called or resources.notifications.is_closed:
            return None
        place.is_trying = True
        found = await resources.lanes.for_worker(
            partial(_claim_after_wait, resources, request, claim, place)
        )
        if found is not None:
            return found
        resources.waiting_line.stand_back(place)


def _claim_after_wait(
    resources: Resources, request: Request, claim: ClaimRequest, place: WaitingPlace
) -> Assignment | None:
    try:
        # The wait may have been long: a token that was revoked meanwhile gets nothing.
        auth.authorise(request, _SCOPES)
    except ServiceError:
        place.is_trying = False
        raise
    return _claim(resources, claim)


def _claim(resources: Resources, request: ClaimRequest) -> Assignment | None:
    with resources.metrics.claim(), resources.database.write() as session:
        return attempts.claim(
            session,
            request,
            lease_seconds=resources.settings.lease_seconds,
            per_owner=resources.settings.parallel_trials_per_token,
        )


async def _handed_over(
    resources: Resources, found: Assignment, hung_up: asyncio.Future[None]
) -> Assignment | None:
    await asyncio.sleep(0)
    if not hung_up.done():
        return found
    await resources.lanes.for_worker(partial(_give_back, resources, found))
    return None


def _give_back(resources: Resources, found: Assignment) -> None:
    with resources.database.write() as session:
        attempts.release(session, found.attempt, found.token)


def _check_fence(resources: Resources, attempt_id: str, token: str) -> None:
    with resources.database.read() as session:
        attempts.check(session, attempt_id, token)


def _keep(resources: Resources, arriving: Incoming, sha256: str) -> tuple[StoredFile, bool]:
    with ExitStack() as holds:
        stored = resources.files.keep(arriving, expected=sha256, holds=holds)
        with resources.database.write() as session:
            is_new = session.get(FileRecord, stored.sha256) is None
            file_store.record(session, stored)
    return stored, is_new
