"""Record who created, changed or deleted what: one row per change, in its transaction.

The log holds names and ids, never a secret and never the content of a request.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import paging
from store.database import clock
from store.tables.records import AuditRecord, DatasetRecord, JobRecord, ModelRecord, TokenRecord

COMMAND_LINE = "command line"
"""Actor of changes made by somebody who can open the database itself. No token name has a blank."""
Action = Literal[
    "created",
    "cloned",
    "cancelled",
    "edited",
    "paused",
    "resumed",
    "candidates_proposed",
    "trial_rerun",
    "deleted",
    "revoked",
]
Kind = Literal["job", "model", "dataset", "token"]
Audited = JobRecord | ModelRecord | DatasetRecord | TokenRecord
_KINDS: Mapping[type[Audited], Kind] = {
    JobRecord: "job",
    ModelRecord: "model",
    DatasetRecord: "dataset",
    TokenRecord: "token",
}


def note(
    session: Session, actor: str, action: Action, record: Audited, **detail: str | int
) -> None:
    """Append a row saying that ``actor`` did this to the record.

    Args:
        session: The writing transaction of the change.
        actor: Name of a token, ``COMMAND_LINE``, or empty for whoever needs no token.
        action: What was done.
        record: What it was done to.
        detail: A few further ids or numbers.
    """
    session.add(
        AuditRecord(
            id=str(uuid.uuid4()),
            at=clock.utc_now(),
            actor=actor,
            action=action,
            kind=_KINDS[type(record)],
            subject=record.id,
            name=record.name,
            detail=dict(detail),
        )
    )


def page(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    actor: str | None = None,
    kind: Kind | None = None,
    subject: str | None = None,
) -> tuple[list[AuditRecord], str | None]:
    """Return one page of the log, newest first. Raises InvalidCursor."""
    wanted = (
        (AuditRecord.actor, actor),
        (AuditRecord.kind, kind),
        (AuditRecord.subject, subject),
    )
    query = select(AuditRecord).where(
        *(column == value for column, value in wanted if value is not None)
    )
    key = (AuditRecord.at, AuditRecord.id)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)
