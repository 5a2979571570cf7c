"""Uploads: files that arrive in parts.

The file itself knows how much has arrived (``FileStore.received``); the number in the record is
from the last complete request. A finished upload has become a stored file. Its record is kept as
long as that file, so that a request whose answer was lost can be repeated.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.access import owners
from store.access.owners import Caller
from store.database import clock
from store.errors import UploadNotFound
from store.tables.records import UploadRecord


def create(session: Session, *, size_bytes: int, owner: str = "") -> UploadRecord:
    """Create an upload that will have this many bytes."""
    upload = UploadRecord(
        id=str(uuid.uuid4()),
        owner=owner,
        size_bytes=size_bytes,
        received=0,
        created_at=clock.utc_now(),
    )
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, upload_id: str) -> UploadRecord:
    """Return the upload. Raises UploadNotFound."""
    upload = session.get(UploadRecord, upload_id)
    if upload is None:
        raise UploadNotFound(f"no upload {upload_id}")
    return upload


def get_own(session: Session, upload_id: str, caller: Caller) -> UploadRecord:
    """Return the upload, which the caller may see, use and change.

    Raises UploadNotFound, NotOwner.
    """
    upload = get(session, upload_id)
    owners.check(upload, caller)
    return upload


def advance(session: Session, upload_id: str, *, received: int) -> UploadRecord:
    """Record how much has arrived, and when. Raises UploadNotFound."""
    upload = get(session, upload_id)
    upload.received, upload.touched_at = received, clock.utc_now()
    return upload


def finish(session: Session, upload_id: str, *, sha256: str) -> None:
    """Record the stored file that the upload became. Raises UploadNotFound."""
    upload = get(session, upload_id)
    upload.sha256, upload.touched_at = sha256, clock.utc_now()


def untouched(
    session: Session, *, before: datetime, is_finished: bool, limit: int, after: str = ""
) -> list[str]:
    """Return ids above ``after``, in order, of uploads that received nothing since ``before``."""
    touched = func.coalesce(UploadRecord.touched_at, UploadRecord.created_at)
    done = UploadRecord.sha256.is_not(None) if is_finished else UploadRecord.sha256.is_(None)
    query = select(UploadRecord.id).where(touched < before, done, UploadRecord.id > after)
    return list(session.scalars(query.order_by(UploadRecord.id).limit(limit)))


def known(session: Session, upload_ids: Collection[str]) -> set[str]:
    """Return the uploads among these that exist."""
    return set(session.scalars(select(UploadRecord.id).where(UploadRecord.id.in_(upload_ids))))


def discard(session: Session, upload_ids: Collection[str]) -> None:
    """Forget these uploads, if they exist."""
    session.execute(delete_from(UploadRecord).where(UploadRecord.id.in_(upload_ids)))


def forget(session: Session, sha256: str) -> None:
    """Forget the uploads that became this file, which is about to be removed."""
    session.execute(delete_from(UploadRecord).where(UploadRecord.sha256 == sha256))


def delete(session: Session, upload_id: str) -> None:
    """Forget the upload. Raises UploadNotFound."""
    session.delete(get(session, upload_id))
    session.flush()
