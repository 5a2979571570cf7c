"""Decide which searcher is active: a lease on a row, judged by the database clock."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, case, not_, or_, update
from sqlalchemy.orm import Session

from store.database import clock
from store.database.upserts import insert_new
from store.tables.records import LeaderRecord, table_of

SEARCHER = "searcher"
_LEADERS = table_of(LeaderRecord)
_WHO = bindparam("who")
_SLACK_SECONDS = 1.0
IS_HELD = and_(
    _LEADERS.c.lease_until >= clock.db_now(),
    or_(
        _LEADERS.c.lease_seconds.is_(None),
        _LEADERS.c.lease_until <= clock.db_now() + _LEADERS.c.lease_seconds + _SLACK_SECONDS,
    ),
)
"""Whether a lease of this table stands: it is not over, and does not end later than it can.

The latter says that the clock was set back, and its holder would be waited for too long.
"""
_RENEW = (
    update(_LEADERS)
    .where(
        _LEADERS.c.name == bindparam("role"),
        or_(_LEADERS.c.holder == _WHO, not_(IS_HELD)),
    )
    .values(
        holder=_WHO,
        term=_LEADERS.c.term + case((_LEADERS.c.holder == _WHO, 0), else_=1),
        lease_until=clock.db_now() + bindparam("seconds"),
        lease_seconds=bindparam("seconds"),
    )
    .returning(_LEADERS.c.term)
)
"""Every write of the searcher ends with it."""


def take(
    session: Session, holder: str, *, lease_seconds: float, name: str = SEARCHER
) -> int | None:
    """Take or renew the role. Returns the term (from 1), or None if somebody else has the role.

    The term changes whenever the role changes hands: a holder that gets a different term than
    before has lost the role in between.

    Args:
        session: A writing transaction.
        holder: Who asks; must be new in every process.
        lease_seconds: How long the role is kept without renewal.
        name: Which role.
    """
    term = _renewed(session, holder, lease_seconds=lease_seconds, name=name)
    if term is not None:
        return term
    new = {"name": name, "holder": "", "term": 0, "lease_until": 0.0}
    if not insert_new(session, LeaderRecord, new):
        return None
    return _renewed(session, holder, lease_seconds=lease_seconds, name=name)


def _renewed(session: Session, holder: str, *, lease_seconds: float, name: str) -> int | None:
    wanted = {"role": name, "who": holder, "seconds": lease_seconds}
    return session.scalar(_RENEW, wanted)


def resign(session: Session, holder: str, *, name: str = SEARCHER) -> None:
    """Give up the role at once, if ``holder`` has it."""
    session.execute(
        update(LeaderRecord)
        .where(LeaderRecord.name == name, LeaderRecord.holder == holder)
        .values(lease_until=0.0)
    )
