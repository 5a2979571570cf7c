"""Uploaded networks: weights, inspected before they are kept, and ONNX files, inspected after."""

import functools
from pathlib import Path

from fastapi import Request, Response

from compress.network.sources.inspection import ModelInfo
from compress.network.sources.source import FamilySource, NetworkSource, OnnxSource
from featherweight.specs.schemas import ModelSchema, Page
from featherweight.specs.states import ModelState
from service.access.auth import READ, SUBMIT
from service.access.callers import Owner, Sender
from service.http.forms import ModelSpec, openapi_body
from service.http.openapi import LOCATION, problems
from service.http.parameters import Cursor, Limit, Reference
from service.http.routing import router as guarded
from service.intake import networks, uploads
from service.intake.uploads import Delivery
from service.resources import Resources, ResourcesDep
from store.attempts import views
from store.files import inspections, models
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
    """Store a network, sent in this form or named by the id of a finished upload.

    With an `architecture` the file is safetensors weights of that family, checked at once. Without
    one it is an ONNX file from any framework: the answer's `state` is `inspecting`, and a moment
    later `GET /v1/models/{reference}` says `ready`, with layers and costs, or `refused`, with
    reasons. Sending a refused file again inspects it anew.
    """
    async with uploads.receive(resources, request) as delivery:
        create = functools.partial(_create, resources, delivery, response)
        found = await resources.lanes.inspections.run(create)
    if found.state == ModelState.INSPECTING:
        resources.inspector.soon()
    return found


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
    """One model: its state, and once it is ready its layers, parameters and MACs."""
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
    """Delete a model that no job refers to, also while it is inspected."""
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


def _inspect(spec: ModelSpec, path: Path, _: StoredFile) -> ModelInfo | None:
    """Return what the weights are, or None of an ONNX file, which is not parsed here."""
    if spec.architecture is None:
        networks.check_onnx(path)
        return None
    assert spec.normalisation is not None  # the form asks for both
    return networks.inspect_weights(path, FamilySource(spec.architecture), spec.normalisation)


def _keep(
    spec: ModelSpec, owner: str, session: Session, stored: StoredFile, info: ModelInfo | None
) -> tuple[ModelRecord, bool]:
    source, known = _source(spec, stored), models.named(session, spec.name)
    if known is not None and _is_same(known, spec, stored, source):
        if known.state == ModelState.REFUSED:
            inspections.again(session, known)
        return known, False
    created = models.create(
        session,
        name=spec.name,
        stored=stored,
        source=source,
        normalisation=spec.normalisation,
        info=info,
        owner=owner,
    )
    return created, True


def _source(spec: ModelSpec, stored: StoredFile) -> NetworkSource:
    if spec.architecture is None:
        return OnnxSource(sha256=stored.sha256, input_shape=spec.input_shape)
    return FamilySource(spec.architecture)


def _is_same(
    known: ModelRecord, spec: ModelSpec, stored: StoredFile, source: NetworkSource
) -> bool:
    """Whether the model is what is sent again; no normalisation is that which changes nothing."""
    if (known.sha256, models.source_of(known)) != (stored.sha256, source):
        return False
    asked, has = spec.normalisation, models.normalisation_of(known)
    return asked == has or (asked is None and has is not None and has.is_identity)
