"""What models and datasets have in common: their own name, and bytes that jobs refer to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from store import paging
from store.access import owners
from store.access.owners import Caller
from store.database import clock
from store.database.upserts import insert_new
from store.errors import NameTaken, NotFound, StillInUse
from store.files import file_store
from store.files.file_store import StoredFile
from store.tables.records import DatasetRecord, JobRecord, ModelRecord

Record = TypeVar("Record", ModelRecord, DatasetRecord)


@dataclass(frozen=True, kw_only=True)
class Shelf(Generic[Record]):
    """All records of one kind: its word, its error, and the columns by which jobs refer to it."""

    record: type[Record]
    word: str
    missing: type[NotFound]
    used_by: tuple[InstrumentedAttribute[Any], ...]

    def create(
        self,
        session: Session,
        *,
        name: str,
        stored: StoredFile,
        fields: Mapping[str, Any],
        owner: str,
    ) -> Record:
        """Create a record with this name and the further fields. Raises NameTaken."""
        file_store.record(session, stored)
        values = {
            "id": str(uuid.uuid4()),
            "owner": owner,
            "name": name,
            "sha256": stored.sha256,
            "size_bytes": stored.size_bytes,
            "created_at": clock.utc_now(),
            **fields,
        }
        if not insert_new(session, self.record, values):
            raise NameTaken(f"there is a {self.word} named {name!r} already: choose another name")
        return self.get(session, values["id"])

    def get(self, session: Session, reference: str) -> Record:
        """Return the record with this id or name. Raises the kind's NotFound."""
        kind = self.record
        query = select(kind).where(or_(kind.id == reference, kind.name == reference))
        found = session.scalars(query.order_by(kind.id != reference).limit(1)).one_or_none()
        if found is None:
            raise self.missing(f"no {self.word} has the id or name {reference!r}")
        return found

    def named(self, session: Session, name: str) -> Record | None:
        """Return the record with this name, if it exists."""
        kind = self.record
        return session.scalars(select(kind).where(kind.name == name)).one_or_none()

    def page(
        self, session: Session, *, limit: int, cursor: str | None = None, owner: str | None = None
    ) -> tuple[list[Record], str | None]:
        """Return one page, newest first, of all records or of one owner. Raises InvalidCursor."""
        kind = self.record
        key = (kind.created_at, kind.id)
        query = select(kind) if owner is None else select(kind).where(kind.owner == owner)
        return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)

    def delete(self, session: Session, reference: str, caller: Caller) -> Record:
        """Delete the record and return it: its bytes may go if nothing else refers to them.

        Raises:
            NotFound: of this kind.
            NotOwner: it is not the caller's.
            StillInUse: a job refers to it.
        """
        found = self.get(session, reference)
        # Its file first, as whoever stores the same bytes does: they wait for each other in turn.
        file_store.lock(session, found.sha256)
        found = self._locked(session, found.id, reference)
        owners.check(found, caller)
        uses = or_(*(column == found.id for column in self.used_by))
        job_id = session.scalar(select(JobRecord.id).where(uses).limit(1))
        if job_id is not None:
            raise StillInUse(f"job {job_id} refers to the {self.word} {found.name!r}")
        session.delete(found)
        session.flush()
        return found

    def _locked(self, session: Session, id: str, reference: str) -> Record:
        found = session.get(self.record, id, with_for_update=True, populate_existing=True)
        if found is None:
            raise self.missing(f"{self.word} {reference!r} was deleted in this moment")
        return found
