"""Uploaded datasets, inspected before they are kept."""

import asyncio
import functools
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from compress.tasks.inspection import DatasetInfo
from compress.values.errors import InvalidData
from featherweight.specs.schemas import DatasetSchema, Page
from service.access.auth import READ, SUBMIT
from service.access.callers import Owner, Sender
from service.http import body_parsing
from service.http.forms import DatasetSpec, openapi_body
from service.http.openapi import LOCATION, problems
from service.http.parameters import Cursor, Limit, Reference
from service.http.routing import router as guarded
from service.intake import data_files, previews, uploads
from service.intake.uploads import Delivery
from service.resources import Resources, ResourcesDep
from service.shared import conditional
from service.shared.conditional import ETAG
from service.shared.looks import Look
from store.attempts import views
from store.files import datasets
from store.files.file_store import StoredFile
from store.session import Session
from store.tables.records import DatasetRecord

router = guarded("datasets")
_PNG_TYPE = "image/png"
_PNG: dict[str, Any] = {"content": {_PNG_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "/v1/datasets",
    operation_id="upload_dataset",
    status_code=201,
    dependencies=[SUBMIT],
    responses={
        200: {
            "model": DatasetSchema,
            "description": "The same name and bytes were there already",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION},
        **problems(400, 404, 409, 413, 415, 422),
    },
    openapi_extra=openapi_body(DatasetSpec),
)
async def upload_dataset(
    resources: ResourcesDep, request: Request, response: Response
) -> DatasetSchema:
    """Store a dataset, sent in this form or named by the id of a finished upload.

    A file that is not yet as datasets are kept becomes one: `info.notes` and `info.warnings` say
    what was made of what, and `sha256` is then that of the new file, `info.origin` has the old one.
    How far that is, `GET /v1/uploads/{upload_id}` says meanwhile; a DELETE of the upload ends it.
    Hanging up ends it, too. An upload stays then, and may be named again.
    """
    async with uploads.receive(resources, request) as delivery:
        hung_up = asyncio.ensure_future(body_parsing.disconnected(request.receive))
        async with resources.looks.begun(delivery.upload, hung_up) as look:
            create = functools.partial(_create, resources, delivery, response, look)
            return await resources.lanes.inspections.run(create)


@router.get("/v1/datasets", operation_id="list_datasets", dependencies=[READ])
def list_datasets(
    resources: ResourcesDep, limit: Limit = 50, cursor: Cursor = None, owner: Owner = None
) -> Page[DatasetSchema]:
    """All datasets, newest first."""
    with resources.database.read() as session:
        records, following = datasets.page(session, limit=limit, cursor=cursor, owner=owner)
        items = tuple(views.dataset(record) for record in records)
    return Page(items=items, next_cursor=following)


@router.get("/v1/datasets/{reference}", operation_id="get_dataset", dependencies=[READ])
def get_dataset(resources: ResourcesDep, reference: Reference) -> DatasetSchema:
    """One dataset, with its splits, classes and balance."""
    with resources.database.read() as session:
        return views.dataset(datasets.get(session, reference))


@router.get(
    "/v1/datasets/{reference}/preview",
    operation_id="preview_dataset",
    dependencies=[READ],
    response_class=Response,
    responses={
        200: {"description": "A png", "headers": ETAG, **_PNG},
        304: {"description": "The asker has it already", "headers": ETAG},
        **problems(422, 503),
    },
)
async def preview_dataset(
    resources: ResourcesDep, request: Request, reference: Reference
) -> Response:
    """A sheet of its training images as a png: up to eight of each of the first twelve classes."""
    sha256 = await run_in_threadpool(_digest, resources, reference)
    headers = {"ETag": f'"preview-{sha256}"', "Cache-Control": "private, no-cache"}
    if conditional.is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    hung_up = asyncio.ensure_future(body_parsing.disconnected(request.receive))
    async with resources.looks.begun(None, hung_up) as look:
        draw = functools.partial(previews.draw, resources, sha256, look)
        sheet = await resources.lanes.inspections.run(draw)
    return Response(sheet, headers=headers, media_type=_PNG_TYPE)


@router.delete(
    "/v1/datasets/{reference}",
    operation_id="delete_dataset",
    status_code=204,
    dependencies=[SUBMIT],
    responses=problems(409),
)
def delete_dataset(resources: ResourcesDep, sender: Sender, reference: Reference) -> Response:
    """Delete a dataset that no job refers to."""
    uploads.discard(resources, sender, reference, delete=datasets.delete)
    return Response(status_code=204)


def _digest(resources: Resources, reference: str) -> str:
    """Return the digest of a dataset of images. Raises InvalidData for another one."""
    with resources.database.read() as session:
        found = datasets.get(session, reference)
    if found.task != "image_classification":
        raise InvalidData(
            f"{found.name!r} is for {found.task} and has no images to draw a sheet of"
        )
    return found.sha256


def _create(
    resources: Resources, delivery: Delivery, response: Response, look: Look
) -> DatasetSchema:
    spec = uploads.read_spec(DatasetSpec, delivery.spec)
    record, is_new = uploads.store_file(
        resources,
        delivery,
        inspect=functools.partial(data_files.inspect, resources, spec.reading, look),
        keep=functools.partial(_keep, spec, delivery.sender.name),
        known=functools.partial(_known, spec),
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return views.dataset(record)


def _known(spec: DatasetSpec, session: Session, stored: StoredFile) -> DatasetRecord | None:
    """Return the dataset of this name if it is what is sent again."""
    known = datasets.named(session, spec.name)
    if known is None or known.task != spec.task:
        return None
    origin = DatasetInfo.model_validate(known.info).origin
    if origin is None:
        is_same = known.sha256 == stored.sha256 and spec.reading.is_default
        return known if is_same else None
    # Of an upload whose answer was lost, the file that was made of it is there already.
    is_same = stored.sha256 in (origin.sha256, known.sha256) and origin.reading == spec.reading
    return known if is_same else None


def _keep(
    spec: DatasetSpec, owner: str, session: Session, stored: StoredFile, info: DatasetInfo
) -> tuple[DatasetRecord, bool]:
    known = datasets.named(session, spec.name)
    if known is not None and (known.sha256, known.task) == (stored.sha256, spec.task):
        return known, False
    created = datasets.create(
        session, name=spec.name, stored=stored, task=spec.task, info=info, owner=owner
    )
    return created, True
