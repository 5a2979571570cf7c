"""Uploaded networks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from compress.families.catalog import Architecture, Normalisation
from store import clock, files, paging
from store.errors import ModelNotFound, NameTaken, StillInUse
from store.files import StoredFile
from store.tables import JobRecord, ModelRecord
from store.upserts import insert_new

if TYPE_CHECKING:
    from compress.inspection import ModelInfo


def create(
    session: Session,
    *,
    name: str,
    stored: StoredFile,
    architecture: Architecture,
    normalisation: Normalisation,
    info: ModelInfo,
) -> ModelRecord:
    """A model of this name; raises NameTaken."""
    files.record(session, stored)
    values = {
        "id": str(uuid.uuid4()),
        "name": name,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "architecture": architecture.model_dump(mode="json"),
        "normalisation": normalisation.model_dump(mode="json"),
        "info": info.model_dump(mode="json"),
        "created_at": clock.utc_now(),
    }
    if not insert_new(session, ModelRecord, values):
        raise NameTaken(f"there is a model named {name!r} already: choose another name")
    return get(session, values["id"])


def get(session: Session, reference: str) -> ModelRecord:
    """The model of this id or name; raises ModelNotFound."""
    query = select(ModelRecord).where(
        or_(ModelRecord.id == reference, ModelRecord.name == reference)
    )
    model = session.scalars(query.order_by(ModelRecord.id != reference).limit(1)).one_or_none()
    if model is None:
        raise ModelNotFound(f"no model has the id or name {reference!r}")
    return model


def page(
    session: Session, *, limit: int, cursor: str | None = None
) -> tuple[list[ModelRecord], str | None]:
    """One page of models, newest first; raises InvalidCursor."""
    key = (ModelRecord.created_at, ModelRecord.id)
    query = select(ModelRecord)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)


def delete(session: Session, reference: str) -> None:
    """Forget the model; raises ModelNotFound, StillInUse where a job refers to it."""
    model = get(session, reference)
    session.refresh(model, with_for_update=True)
    job_id = session.scalar(select(JobRecord.id).where(JobRecord.model_id == model.id).limit(1))
    if job_id is not None:
        raise StillInUse(f"job {job_id} refers to the model {model.name!r}")
    session.delete(model)
    session.flush()
