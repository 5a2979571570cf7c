"""Resumable uploads: announce the size, then send parts from where the last one ended."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from featherweight.specs.schemas import UploadSchema
from service.access.auth import SUBMIT
from service.access.callers import Sender
from service.http import body_parsing
from service.http.openapi import LOCATION, header, problems
from service.http.parameters import UploadId
from service.http.routing import router as guarded
from service.resources import Resources, ResourcesDep
from store.access import limits
from store.access.owners import Caller
from store.attempts import views
from store.files import uploads
from store.files.file_store import FileStore

router = guarded("uploads")

_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
RAW_BODY: dict[str, Any] = {
    "requestBody": {"required": False, "content": {"application/octet-stream": _BYTES}}
}
"""Bytes as they are; no body is a file of no bytes."""
_PART_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": dict.fromkeys(
            ("application/octet-stream", "application/offset+octet-stream"), _BYTES
        ),
    }
}
_WHERE = {"type": "integer", "minimum": 0, "maximum": 2**53}
_OFFSET = {"Upload-Offset": header("How many bytes have arrived.", _WHERE)}
Offset = Annotated[
    int, Header(alias="Upload-Offset", ge=0, le=2**53, description="Where these bytes begin.")
]


class UploadSpec(BaseModel, frozen=True, extra="forbid"):
    """A file that will be uploaded."""

    size_bytes: int = Field(gt=0, le=2**53)


@router.post(
    "/v1/uploads",
    operation_id="begin_upload",
    status_code=201,
    dependencies=[SUBMIT],
    responses={201: {"headers": {**LOCATION, **_OFFSET}}},
)
def begin_upload(
    resources: ResourcesDep, sender: Sender, response: Response, spec: UploadSpec
) -> UploadSchema:
    """Announce a file; then send it with PATCH."""
    if spec.size_bytes > resources.settings.max_upload_bytes:
        message = (
            f"Input should be at most {resources.settings.max_upload_bytes}, the largest upload"
        )
        entry = {"type": "too_large", "loc": ("body", "size_bytes"), "msg": message}
        raise RequestValidationError([entry])
    owner, most = sender.name, resources.settings.stored_bytes_per_token
    with resources.database.read() as session:
        artifacts = limits.artifact_bytes(session, owner)
    with resources.database.write() as session:
        upload = uploads.create(session, size_bytes=spec.size_bytes, owner=owner)
        limits.check_bytes(session, owner, most=most, artifacts=artifacts)
        view = views.upload(upload)
        resources.files.begin_upload(view.id)
    response.headers["Location"] = f"/v1/uploads/{view.id}"
    response.headers["Upload-Offset"] = "0"
    return view


@router.get(
    "/v1/uploads/{upload_id}",
    operation_id="get_upload",
    dependencies=[SUBMIT],
    responses={200: {"headers": _OFFSET}},
)
def get_upload(
    resources: ResourcesDep, sender: Sender, response: Response, upload_id: UploadId
) -> UploadSchema:
    """Say how much has arrived, also in the header `Upload-Offset`; then how far a look into it is.

    Once the look is over, there is no such upload any more.
    """
    with resources.database.read() as session:
        view = views.upload(uploads.get_own(session, upload_id, sender))
    look = resources.looks.found(upload_id)
    received = view.size_bytes if look else resources.files.received(upload_id)
    view = view.model_copy(update={"received": received, "look": look})
    response.headers["Upload-Offset"] = str(view.received)
    return view


@router.patch(
    "/v1/uploads/{upload_id}",
    operation_id="continue_upload",
    dependencies=[SUBMIT],
    responses={200: {"headers": _OFFSET}, **problems(409)},
    openapi_extra=_PART_BODY,
)
async def continue_upload(
    resources: ResourcesDep,
    sender: Sender,
    request: Request,
    response: Response,
    upload_id: UploadId,
    offset: Offset,
) -> UploadSchema:
    """Send the next bytes. What arrived before a broken connection stays."""
    view = await run_in_threadpool(_view, resources, sender, upload_id)
    part = _Part(resources.files, upload_id, begin=offset, limit=view.size_bytes)
    lane, pace = resources.lanes.uploads, body_parsing.pace_of(request)
    # Also for a part of no bytes: it must follow where the upload stands.
    await lane.run(partial(part.write, b""))
    # A sender that hangs up ends this part, not the upload: it goes on from what has arrived.
    with lane.places.taken(body_parsing.senders(request), pace), suppress(ClientDisconnect):
        chunks = body_parsing.bounded(request, limit=view.size_bytes, pace=pace)
        await body_parsing.pass_on(chunks, lambda piece: lane.run(partial(part.write, piece)))
    response.headers["Upload-Offset"] = str(part.end)
    return await run_in_threadpool(_advance, resources, sender, upload_id, part.end)


@router.delete(
    "/v1/uploads/{upload_id}",
    operation_id="drop_upload",
    status_code=204,
    dependencies=[SUBMIT],
)
def drop_upload(resources: ResourcesDep, sender: Sender, upload_id: UploadId) -> Response:
    """Delete an upload of which nothing has become yet; a look into it ends."""
    with resources.database.write() as session:
        uploads.delete(session, uploads.get_own(session, upload_id, sender).id)
    resources.looks.drop(upload_id)
    resources.files.drop_upload(upload_id)
    return Response(status_code=204)


class _Part:
    """The part of one request to an upload, written piece by piece.

    Between two pieces the upload is not locked: a sender that has stopped does not keep another one
    from continuing.
    """

    def __init__(self, files: FileStore, upload_id: str, *, begin: int, limit: int) -> None:
        self.end = begin
        self._append = partial(files.append_upload, upload_id, begin=begin, limit=limit)

    def write(self, piece: bytes) -> None:
        self.end = self._append([piece], offset=self.end)


def _view(resources: Resources, sender: Caller, upload_id: str) -> UploadSchema:
    with resources.database.read() as session:
        view = views.upload(uploads.get_own(session, upload_id, sender))
    return view.model_copy(update={"received": resources.files.received(upload_id)})


def _advance(resources: Resources, sender: Caller, upload_id: str, received: int) -> UploadSchema:
    with resources.database.write() as session:
        uploads.get_own(session, upload_id, sender)
        return views.upload(uploads.advance(session, upload_id, received=received))
