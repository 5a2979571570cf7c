"""Uploaded networks: weights of a family, inspected before they are kept."""

import functools
from pathlib import Path

from fastapi import Request, Response

from compress.network.families import catalog
from compress.network.preprocessing import Normalisation
from compress.network.sources import inspection
from compress.network.sources.inspection import ModelInfo
from compress.values.errors import InvalidWeights
from featherweight.specs.schemas import ModelSchema, Page
from service.access.auth import READ, SUBMIT
from service.access.callers import Owner, Sender
from service.http.forms import ModelSpec, openapi_body
from service.http.openapi import LOCATION, problems
from service.http.parameters import Cursor, Limit, Reference
from service.http.routing import router as guarded
from service.intake import uploads
from service.intake.uploads import Delivery
from service.resources import Resources, ResourcesDep
from store.attempts import views
from store.files import models
from store.files.file_store import StoredFile
from store.session import Session
from store.tables.records import ModelRecord

router = guarded("models")


@router.post(
    "/v1/models",
    operation_id="upload_model",
    status_code=201,
    dependencies=[SUBMIT],
    responses={
        200: {
            "model": ModelSchema,
            "description": "The same name and bytes were there already",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION},
        **problems(400, 404, 409, 413, 415, 422),
    },
    openapi_extra=openapi_body(ModelSpec),
)
async def upload_model(
    resources: ResourcesDep, request: Request, response: Response
) -> ModelSchema:
    """Store safetensors weights, sent in this form or named by the id of a finished upload."""
    async with uploads.receive(resources, request) as delivery:
        create = functools.partial(_create, resources, delivery, response)
        return await resources.lanes.inspections.run(create)


@router.get("/v1/models", operation_id="list_models", dependencies=[READ])
def list_models(
    resources: ResourcesDep, limit: Limit = 50, cursor: Cursor = None, owner: Owner = None
) -> Page[ModelSchema]:
    """All models, newest first."""
    with resources.database.read() as session:
        records, following = models.page(session, limit=limit, cursor=cursor, owner=owner)
        items = tuple(views.model(record) for record in records)
    return Page(items=items, next_cursor=following)


@router.get("/v1/models/{reference}", operation_id="get_model", dependencies=[READ])
def get_model(resources: ResourcesDep, reference: Reference) -> ModelSchema:
    """One model, with its layers, parameters and MACs."""
    with resources.database.read() as session:
        return views.model(models.get(session, reference))


@router.delete(
    "/v1/models/{reference}",
    operation_id="delete_model",
    status_code=204,
    dependencies=[SUBMIT],
    responses=problems(409),
)
def delete_model(resources: ResourcesDep, sender: Sender, reference: Reference) -> Response:
    """Delete a model that no job refers to."""
    uploads.discard(resources, sender, reference, delete=models.delete)
    return Response(status_code=204)


def _create(resources: Resources, delivery: Delivery, response: Response) -> ModelSchema:
    spec = uploads.read_spec(ModelSpec, delivery.spec)
    record, is_new = uploads.store_file(
        resources,
        delivery,
        inspect=functools.partial(_inspect, spec),
        keep=functools.partial(_keep, spec, delivery.sender.name),
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/models/{record.id}"
    return views.model(record)


def _inspect(spec: ModelSpec, path: Path) -> ModelInfo:
    info = inspection.inspect_weights(path, spec.architecture)
    if len(spec.normalisation.mean) != info.in_channels:
        raise InvalidWeights(
            f"normalisation: has {len(spec.normalisation.mean)} channels, the network takes "
            f"{info.in_channels}"
        )
    return info


def _keep(
    spec: ModelSpec, owner: str, session: Session, stored: StoredFile, info: ModelInfo
) -> tuple[ModelRecord, bool]:
    known = models.named(session, spec.name)
    is_same = known is not None and (
        known.sha256,
        catalog.read(known.architecture),
        Normalisation.model_validate(known.normalisation),
    ) == (stored.sha256, spec.architecture, spec.normalisation)
    if known is not None and is_same:
        return known, False
    created = models.create(
        session,
        name=spec.name,
        stored=stored,
        architecture=spec.architecture,
        normalisation=spec.normalisation,
        info=info,
        owner=owner,
    )
    return created, True
