"""Uploaded networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.network.sources.source import NetworkSource
from store.errors import ModelNotFound
from store.files.file_store import StoredFile
from store.files.shelf import Shelf
from store.tables.records import JobRecord, ModelRecord

if TYPE_CHECKING:
    from compress.network.sources.inspection import ModelInfo

_SHELF = Shelf(
    record=ModelRecord,
    word="model",
    missing=ModelNotFound,
    used_by=(JobRecord.model_id, JobRecord.teacher_id, JobRecord.supernet_model_id),
)
_SOURCE: TypeAdapter[NetworkSource] = TypeAdapter(NetworkSource)
get, named, page, delete = _SHELF.get, _SHELF.named, _SHELF.page, _SHELF.delete


def source(model: ModelRecord) -> NetworkSource:
    """Return what the model is, apart from its weights."""
    return _SOURCE.validate_python(model.architecture)


def create(  # noqa: PLR0913 - every field, by name
    session: Session,
    *,
    name: str,
    stored: StoredFile,
    architecture: Architecture,
    normalisation: Normalisation,
    info: ModelInfo,
    owner: str = "",
) -> ModelRecord:
    """Create a model with this name. Raises NameTaken."""
    fields = {
        "architecture": architecture.model_dump(mode="json"),
        "normalisation": normalisation.model_dump(mode="json"),
        "info": info.model_dump(mode="json"),
    }
    return _SHELF.create(session, name=name, stored=stored, fields=fields, owner=owner)
