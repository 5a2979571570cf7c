"""Uploaded networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.sources.source import NetworkSource
from featherweight.specs.states import ModelState
from store.errors import ModelNotFound, ModelNotReady
from store.files.file_store import StoredFile
from store.files.shelf import Shelf
from store.tables.records import JobRecord, ModelRecord

if TYPE_CHECKING:
    from compress.network.sources.inspection import ModelInfo

_SOURCE: TypeAdapter[NetworkSource] = TypeAdapter(NetworkSource)
_SHELF = Shelf(
    record=ModelRecord,
    word="model",
    missing=ModelNotFound,
    used_by=(JobRecord.model_id, JobRecord.teacher_id, JobRecord.supernet_model_id),
)
get, named, page, delete = _SHELF.get, _SHELF.named, _SHELF.page, _SHELF.delete


def create(  # noqa: PLR0913 - every field, by name
    session: Session,
    *,
    name: str,
    stored: StoredFile,
    source: NetworkSource,
    normalisation: Normalisation | None,
    info: ModelInfo | None,
    owner: str = "",
) -> ModelRecord:
    """Create a model with this name. Raises NameTaken.

    Without ``info`` it waits for its inspection.
    """
    fields = {
        "architecture": _SOURCE.dump_python(source, mode="json"),
        "normalisation": normalisation.model_dump(mode="json") if normalisation else {},
        "info": info.model_dump(mode="json") if info else {},
        "state": ModelState.READY if info else ModelState.INSPECTING,
    }
    return _SHELF.create(session, name=name, stored=stored, fields=fields, owner=owner)


def source_of(model: ModelRecord) -> NetworkSource:
    """Return what the model is, apart from its weights."""
    return _SOURCE.validate_python(model.architecture)


def normalisation_of(model: ModelRecord) -> Normalisation | None:
    """Return what happens to raw values before the network; None: not known before inspection."""
    found = model.normalisation
    return Normalisation.model_validate(found) if found else None


def outline_of(model: ModelRecord) -> Outline:
    """Return the outline that the inspection of an ONNX file has found. Raises ModelNotReady."""
    if model.outline is None:
        raise ModelNotReady(f"the model {model.name!r} is {model.state}: it has no outline")
    return Outline.model_validate(model.outline)
