"""Meters, with the time at which they were last heard of."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from featherweight.specs.cluster import MeterInfo, MeterSchema
from featherweight.specs.states import MeteringState
from store.attempts.workers import SEEN_EVERY
from store.database import clock
from store.database.upserts import insert_new
from store.errors import TooManyMeters
from store.tables.records import MeteringRecord, MeterRecord

MOST_METERS = 64
"""Every meter has a row for each file that it is to measure."""


def seen(session: Session, info: MeterInfo) -> None:
    """Record a sign of life and lock the meter's row: its requests run one after another.

    Raises TooManyMeters for a new name beyond ``MOST_METERS``.
    """
    meter = lock(session, info.name)
    if meter is None:
        _check_room(session, info.name)
        insert_new(session, MeterRecord, _values(info))
        meter = lock(session, info.name)
        assert meter is not None
    document = info.model_dump(mode="json")
    is_old = meter.last_seen < clock.utc_now() - SEEN_EVERY
    if is_old or meter.info != document:
        meter.last_seen, meter.boot_id, meter.info = clock.utc_now(), info.boot_id, document


def lock(session: Session, name: str) -> MeterRecord | None:
    """Return the meter, freshly read and locked, or None if there is none of that name."""
    query = select(MeterRecord).where(MeterRecord.name == name).with_for_update()
    fresh = {"populate_existing": True}
    return session.scalars(query, execution_options=fresh).one_or_none()


def every(session: Session) -> tuple[MeterSchema, ...]:
    """Return every meter by name, and how many files wait for it or are with it."""
    left = (
        select(MeteringRecord.meter, func.count())
        .where(MeteringRecord.state != MeteringState.DONE)
        .group_by(MeteringRecord.meter)
    )
    waiting = dict(session.execute(left).all())
    found = session.scalars(select(MeterRecord).order_by(MeterRecord.name))
    return tuple(_shown(record, waiting.get(record.name, 0)) for record in found)


def _check_room(session: Session, name: str) -> None:
    known = session.execute(select(func.count()).select_from(MeterRecord)).scalar_one()
    if known >= MOST_METERS:
        raise TooManyMeters(
            f"{MOST_METERS} meters are known and {name!r} is none of them: start it under the name "
            "of one that is gone, or wait until one that was not heard of is forgotten"
        )


def _values(info: MeterInfo) -> dict[str, object]:
    now = clock.utc_now()
    document = info.model_dump(mode="json")
    own = {"name": info.name, "boot_id": info.boot_id, "info": document}
    return {**own, "first_seen": now, "last_seen": now}


def _shown(record: MeterRecord, waiting: int) -> MeterSchema:
    own = {key: record.info[key] for key in ("name", "device", "cpu", "os", "version", "runtimes")}
    seen = {"first_seen": record.first_seen, "last_seen": record.last_seen}
    return MeterSchema.model_validate({**own, **seen, "waiting": waiting})
