"""Inspections of uploaded models: one process at a time looks into a file, and one outcome counts.

A process that dies in the middle is waited for until its lease is over; then another one begins
again, unless too many were cut off by the same file. The number of an inspection is its fencing
token: what an earlier one finds is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.orm import Session

from compress.network.sources.source import OnnxSource
from featherweight.specs.states import ModelState
from store.database import clock
from store.tables.records import ModelRecord, table_of

MOST_INSPECTIONS = 3
"""Inspections of a file that may be cut off before it is refused."""
LEASE_SECONDS = 20.0
_SLACK_SECONDS = 1.0
_MODELS = table_of(ModelRecord)
_IS_FREE = or_(
    ModelRecord.inspection_until.is_(None),
    ModelRecord.inspection_until < clock.db_now(),
    # The clock was set back, and whoever has the lease would be waited for too long.
    ModelRecord.inspection_until > clock.db_now() + (LEASE_SECONDS + _SLACK_SECONDS),
)
_WAITING = (
    select(ModelRecord)
    .where(ModelRecord.state == ModelState.INSPECTING, _IS_FREE)
    .order_by(ModelRecord.created_at, ModelRecord.id)
    .limit(1)
)
_NEXT = _WAITING.with_for_update(skip_locked=True)
_IS_WAITED_FOR = _WAITING.with_only_columns(ModelRecord.id)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The ``number``-th inspection of a model, from 1, and its file.

    ``normalisation`` is what the upload gave, empty if nothing.
    """

    model: str
    name: str
    number: int
    source: OnnxSource
    normalisation: dict[str, Any]


def is_waited_for(connection: Connection) -> bool:
    """Return whether a model waits for an inspection that nobody has begun."""
    return connection.scalar(_IS_WAITED_FOR) is not None


def begin(session: Session) -> Inspection | None:
    """Begin the inspection of the oldest model that waits for one; return None if none does.

    Models whose inspections were cut off too often are refused on the way.
    """
    while (found := session.scalars(_NEXT).one_or_none()) is not None:
        if found.inspections < MOST_INSPECTIONS:
            found.inspections += 1
            found.inspection_until = clock.now(session) + LEASE_SECONDS
            session.flush()
            return Inspection(
                model=found.id,
                name=found.name,
                number=found.inspections,
                source=OnnxSource.model_validate(found.architecture),
                normalisation=found.normalisation,
            )
        _refuse(
            found,
            f"its inspection was cut off {found.inspections} times by the end of the process that "
            "began it: upload it again once the service runs without interruption",
        )
        session.flush()
    return None


def renew(session: Session, inspection: Inspection) -> bool:
    """Extend the lease. Returns False if the inspection counts no more, or the model is gone."""
    return _changed(session, inspection, inspection_until=clock.db_now() + LEASE_SECONDS)


def release(session: Session, inspection: Inspection) -> None:
    """Give an inspection back that was not finished and is not to blame."""
    _changed(session, inspection, inspection_until=None, inspections=inspection.number - 1)


def finish(
    session: Session,
    inspection: Inspection,
    *,
    info: dict[str, Any],
    outline: dict[str, Any],
    normalisation: dict[str, Any],
) -> bool:
    """Make the model ready. Returns False if the inspection counts no more."""
    return _changed(
        session,
        inspection,
        state=ModelState.READY,
        info=info,
        outline=outline,
        normalisation=normalisation,
        inspection_until=None,
    )


def refuse(session: Session, inspection: Inspection, reasons: Sequence[str]) -> bool:
    """Refuse the model. Returns False if the inspection counts no more."""
    return _changed(
        session,
        inspection,
        state=ModelState.REFUSED,
        reasons=list(reasons),
        inspection_until=None,
    )


def again(session: Session, model: ModelRecord) -> None:
    """Let a refused model be inspected anew, as by a newer version of the service."""
    model.state, model.reasons, model.inspections = ModelState.INSPECTING, None, 0
    session.flush()


def _refuse(model: ModelRecord, reason: str) -> None:
    model.state, model.reasons, model.inspection_until = ModelState.REFUSED, [reason], None


def _changed(session: Session, inspection: Inspection, **values: Any) -> bool:
    statement = (
        update(_MODELS)
        .where(
            _MODELS.c.id == inspection.model,
            _MODELS.c.state == ModelState.INSPECTING,
            _MODELS.c.inspections == inspection.number,
        )
        .values(**values)
        .returning(_MODELS.c.id)
    )
    return session.scalar(statement) is not None
