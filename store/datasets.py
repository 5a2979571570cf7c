"""Uploaded datasets."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from store import clock, files, paging
from store.errors import DatasetNotFound, NameTaken, StillInUse
from store.files import StoredFile
from store.tables import DatasetRecord, JobRecord
from store.upserts import insert_new

if TYPE_CHECKING:
    from compress.inspection import DatasetInfo


def create(
    session: Session, *, name: str, stored: StoredFile, task: str, info: DatasetInfo
) -> DatasetRecord:
    """A dataset of this name; raises NameTaken."""
    files.record(session, stored)
    values = {
        "id": str(uuid.uuid4()),
        "name": name,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "task": task,
        "info": info.model_dump(mode="json"),
        "created_at": clock.utc_now(),
    }
    if not insert_new(session, DatasetRecord, values):
        raise NameTaken(f"there is a dataset named {name!r} already: choose another name")
    return get(session, values["id"])


def get(session: Session, reference: str) -> DatasetRecord:
    """The dataset of this id or name; raises DatasetNotFound."""
    query = select(DatasetRecord).where(
        or_(DatasetRecord.id == reference, DatasetRecord.name == reference)
    )
    dataset = session.scalars(query.order_by(DatasetRecord.id != reference).limit(1)).one_or_none()
    if dataset is None:
        raise DatasetNotFound(f"no dataset has the id or name {reference!r}")
    return dataset


def page(
    session: Session, *, limit: int, cursor: str | None = None
) -> tuple[list[DatasetRecord], str | None]:
    """One page of datasets, newest first; raises InvalidCursor."""
    key = (DatasetRecord.created_at, DatasetRecord.id)
    query = select(DatasetRecord)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)


def delete(session: Session, reference: str) -> None:
    """Forget the dataset; raises DatasetNotFound, StillInUse where a job refers to it."""
    dataset = get(session, reference)
    session.refresh(dataset, with_for_update=True)
    job_id = session.scalar(select(JobRecord.id).where(JobRecord.dataset_id == dataset.id).limit(1))
    if job_id is not None:
        raise StillInUse(f"job {job_id} refers to the dataset {dataset.name!r}")
    session.delete(dataset)
    session.flush()
