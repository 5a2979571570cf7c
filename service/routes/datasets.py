"""Uploaded datasets, inspected before they are kept."""

import functools
from pathlib import Path

from fastapi import Request, Response

from compress.tasks import inspection
from compress.tasks.formats import npz
from compress.tasks.inspection import DatasetInfo
from featherweight.specs.schemas import DatasetSchema, Page
from service.access.auth import READ, SUBMIT
from service.access.callers import Owner, Sender
from service.http.forms import DatasetSpec, openapi_body
from service.http.openapi import LOCATION, problems
from service.http.parameters import Cursor, Limit, Reference
from service.http.routing import router as guarded
from service.intake import uploads
from service.intake.uploads import Delivery
from service.resources import Resources, ResourcesDep
from store.attempts import views
from store.files import datasets
from store.files.file_store import StoredFile
from store.session import Session
from store.tables.records import DatasetRecord

router = guarded("datasets")

_MOST_RATIO = 200
"""Most unpacked bytes per byte of the file: drawn digits have about 20, a bomb has 1000."""


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
    """Store an npz dataset, sent in this form or named by the id of a finished upload."""
    async with uploads.receive(resources, request) as delivery:
        create = functools.partial(_create, resources, delivery, response)
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


def _create(resources: Resources, delivery: Delivery, response: Response) -> DatasetSchema:
    spec = uploads.read_spec(DatasetSpec, delivery.spec)
    record, is_new = uploads.store_file(
        resources,
        delivery,
        inspect=functools.partial(_inspect, resources),
        keep=functools.partial(_keep, spec, delivery.sender.name),
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return views.dataset(record)


def _inspect(resources: Resources, path: Path) -> DatasetInfo:
    caution = npz.Caution(most_ratio=_MOST_RATIO, seconds=resources.settings.inspection_seconds)
    return inspection.inspect_dataset(path, caution=caution)


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
