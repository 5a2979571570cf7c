"""Resumable uploads: announce the size, send parts from where the last one ended."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from featherweight.specs.schemas import UploadSchema
from service import bodies
from service.auth import SUBMIT
from service.openapi import problems
from service.parameters import UploadId
from service.resources import Here, Resources
from service.routing import router as guarded
from store import uploads, views

router = guarded("uploads")

RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Offset = Annotated[
    int, Header(alias="Upload-Offset", ge=0, le=2**53, description="Where these bytes begin.")
]


class UploadSpec(BaseModel, frozen=True, extra="forbid"):
    """A file that is to come."""

    size_bytes: int = Field(gt=0, le=2**53)


@router.post("/v1/uploads", operation_id="begin_upload", status_code=201, dependencies=[SUBMIT])
def begin_upload(here: Here, response: Response, spec: UploadSpec) -> UploadSchema:
    """Announce a file; then send it with PATCH."""
    if spec.size_bytes > here.settings.max_upload_bytes:
        message = f"Input should be at most {here.settings.max_upload_bytes}, the largest upload"
        entry = {"type": "too_large", "loc": ("body", "size_bytes"), "msg": message}
        raise RequestValidationError([entry])
    with here.database.write() as session:
        view = views.upload(uploads.create(session, size_bytes=spec.size_bytes))
        here.files.begin_upload(view.id)
    response.headers["Location"] = f"/v1/uploads/{view.id}"
    response.headers["Upload-Offset"] = "0"
    return view


@router.get("/v1/uploads/{upload_id}", operation_id="get_upload", dependencies=[SUBMIT])
@router.head("/v1/uploads/{upload_id}", dependencies=[SUBMIT], include_in_schema=False)
def get_upload(here: Here, response: Response, upload_id: UploadId) -> UploadSchema:
    """How much has arrived; also in the header `Upload-Offset`."""
    view = _view(here, upload_id)
    response.headers["Upload-Offset"] = str(view.received)
    return view


@router.patch(
    "/v1/uploads/{upload_id}",
    operation_id="continue_upload",
    dependencies=[SUBMIT],
    responses=problems(409, 413),
    openapi_extra=RAW_BODY,
)
async def continue_upload(
    here: Here, request: Request, response: Response, upload_id: UploadId, offset: Offset
) -> UploadSchema:
    """Send the next bytes. What arrived before a broken connection stays."""
    view = await run_in_threadpool(_view, here, upload_id)
    stream = bodies.bounded(request, limit=view.size_bytes)
    append = partial(
        here.files.append_upload,
        upload_id,
        bodies.from_thread_chunks(_until_disconnect(stream)),
        offset=offset,
        limit=view.size_bytes,
    )
    received = await to_thread.run_sync(append, limiter=here.upload_threads)
    response.headers["Upload-Offset"] = str(received)
    return await run_in_threadpool(_advance, here, upload_id, received)


@router.delete(
    "/v1/uploads/{upload_id}",
    operation_id="drop_upload",
    status_code=204,
    dependencies=[SUBMIT],
)
def drop_upload(here: Here, upload_id: UploadId) -> Response:
    """Throw an unfinished upload away."""
    with here.database.write() as session:
        uploads.delete(session, upload_id)
    here.files.drop_upload(upload_id)
    return Response(status_code=204)


async def _until_disconnect(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # A broken line ends this part, not the upload: the client goes on from what has arrived.
    try:
        async for chunk in stream:
            yield chunk
    except ClientDisconnect:
        return


def _view(here: Resources, upload_id: str) -> UploadSchema:
    with here.database.read() as session:
        view = views.upload(uploads.get(session, upload_id))
    return view.model_copy(update={"received": here.files.received(upload_id)})


def _advance(here: Resources, upload_id: str, received: int) -> UploadSchema:
    with here.database.write() as session:
        return views.upload(uploads.advance(session, upload_id, received=received))
