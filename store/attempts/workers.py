"""Workers, with the time at which they were last heard of."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from featherweight.specs.protocol import WorkerInfo
from featherweight.specs.states import AttemptState
from store import paging
from store.database import clock
from store.database.upserts import insert_new
from store.tables.records import AttemptRecord, WorkerRecord, table_of

SEEN_EVERY = timedelta(seconds=5)
"""A sign of life is written at most this often: on SQLite every write wakes every watcher, and an
idle worker that wrote whenever it wakes would wake all the others without end."""
_BY_NAME = (WorkerRecord.name, WorkerRecord.boot_id)
_LOCKED = select(WorkerRecord).where(WorkerRecord.boot_id == bindparam("boot")).with_for_update()
_WORKERS = table_of(WorkerRecord)
_TOUCH = (
    update(_WORKERS)
    .where(_WORKERS.c.boot_id == bindparam("boot"), _WORKERS.c.last_seen < bindparam("before"))
    .values(last_seen=bindparam("moment"))
)


def seen(session: Session, info: WorkerInfo) -> None:
    """Record a sign of life and lock the worker's row: its requests run one after another."""
    worker = _lock(session, info.boot_id)
    if worker is None:
        insert_new(session, WorkerRecord, _values(info))
        worker = _lock(session, info.boot_id)
        assert worker is not None
    if worker.last_seen < clock.utc_now() - SEEN_EVERY:
        worker.last_seen = clock.utc_now()
        worker.info = info.model_dump(mode="json")


def _lock(session: Session, boot_id: str) -> WorkerRecord | None:
    found = session.scalars(
        _LOCKED, {"boot": boot_id}, execution_options={"populate_existing": True}
    )
    return found.one_or_none()


def _values(info: WorkerInfo) -> dict[str, object]:
    now = clock.utc_now()
    return {
        "boot_id": info.boot_id,
        "name": info.name,
        "info": info.model_dump(mode="json"),
        "first_seen": now,
        "last_seen": now,
    }


def touch(session: Session, boot_id: str) -> None:
    """Record a sign of life of a worker that is already known."""
    now = clock.utc_now()
    session.execute(_TOUCH, {"boot": boot_id, "before": now - SEEN_EVERY, "moment": now})


def page(
    session: Session, *, seconds: float, limit: int, cursor: str | None
) -> tuple[list[WorkerRecord], str | None]:
    """Return one page of workers heard of within the last ``seconds``, by name.

    Raises InvalidCursor.
    """
    since = clock.utc_now() - timedelta(seconds=seconds)
    query = select(WorkerRecord).where(WorkerRecord.last_seen >= since)
    return paging.fetch(session, query, _BY_NAME, limit=limit, cursor=cursor, descending=False)


def current_trials(session: Session) -> dict[str, str]:
    """Return the current trial of every busy worker, by boot id."""
    query = select(AttemptRecord.boot_id, AttemptRecord.trial_id).where(
        AttemptRecord.state == AttemptState.ACTIVE
    )
    return dict(session.execute(query).all())
