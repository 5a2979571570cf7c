"""Uploaded datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from store.errors import DatasetNotFound
from store.files.file_store import StoredFile
from store.files.shelf import Shelf
from store.tables.records import DatasetRecord, JobRecord

if TYPE_CHECKING:
    from compress.tasks.inspection import DatasetInfo

_SHELF = Shelf(
    record=DatasetRecord, word="dataset", missing=DatasetNotFound, used_by=(JobRecord.dataset_id,)
)
get, named, page, delete = _SHELF.get, _SHELF.named, _SHELF.page, _SHELF.delete


def create(
    session: Session,
    *,
    name: str,
    stored: StoredFile,
    task: str,
    info: DatasetInfo,
    owner: str = "",
) -> DatasetRecord:
    """Create a dataset with this name. Raises NameTaken."""
    fields = {"task": task, "info": info.model_dump(mode="json")}
    return _SHELF.create(session, name=name, stored=stored, fields=fields, owner=owner)
