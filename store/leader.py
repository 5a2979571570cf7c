"""Who is the one active searcher: a lease on a row, judged by the database's clock."""

from __future__ import annotations

from sqlalchemy import case, or_, update
from sqlalchemy.orm import Session

from store import clock
from store.tables import LeaderRecord
from store.upserts import insert_new

SEARCHER = "searcher"


def take(session: Session, holder: str, *, lease_seconds: float, name: str = SEARCHER) -> bool:
    """Take the role or renew it; whether ``holder`` has it now.

    Args:
        session: A writing transaction.
        holder: Who asks; must be new in every process.
        lease_seconds: How long the role is kept without renewal.
        name: Which role.
    """
    if _renewed(session, holder, lease_seconds=lease_seconds, name=name):
        return True
    new = {"name": name, "holder": "", "term": 0, "lease_until": 0.0}
    is_first = insert_new(session, LeaderRecord, new)
    return is_first and _renewed(session, holder, lease_seconds=lease_seconds, name=name)


def _renewed(session: Session, holder: str, *, lease_seconds: float, name: str) -> bool:
    changes_hand = case((LeaderRecord.holder == holder, 0), else_=1)
    lease = (
        update(LeaderRecord)
        .where(
            LeaderRecord.name == name,
            or_(LeaderRecord.holder == holder, LeaderRecord.lease_until < clock.db_now()),
        )
        .values(
            holder=holder,
            term=LeaderRecord.term + changes_hand,
            lease_until=clock.db_now() + lease_seconds,
        )
        .returning(LeaderRecord.name)
    )
    return session.scalar(lease, execution_options={"synchronize_session": False}) is not None


def resign(session: Session, holder: str, *, name: str = SEARCHER) -> None:
    """Give the role up at once, if ``holder`` has it."""
    session.execute(
        update(LeaderRecord)
        .where(LeaderRecord.name == name, LeaderRecord.holder == holder)
        .values(lease_until=0.0)
    )
