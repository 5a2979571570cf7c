"""Check cheaply who is running and whether there is work, and record that the service is alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, func, not_, select, update
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState, TrialState
from store.attempts import claims
from store.cluster.leader import IS_HELD, SEARCHER
from store.database import clock
from store.database.upserts import insert_new
from store.tables.records import AttemptRecord, JobRecord, LeaderRecord, table_of

SERVICE = "service"
"""Row of the leaders' table that every service renews; it makes nobody a leader."""


def searcher_is_alive(session: Session) -> bool:
    """Return whether a searcher holds the role now, by the database's clock."""
    query = select(LeaderRecord.name).where(LeaderRecord.name == SEARCHER, IS_HELD)
    return session.execute(query).first() is not None


def note_service(session: Session, *, seconds: float) -> None:
    """Record that a service is running and can hear workers, for ``seconds`` from now."""
    wanted = {"seconds": seconds}
    if session.execute(_NOTE_SERVICE, wanted).first() is None:
        new = {"name": SERVICE, "holder": "", "term": 0, "lease_until": 0.0}
        insert_new(session, LeaderRecord, new)
        session.execute(_NOTE_SERVICE, wanted)


def service_is_silent(session: Session) -> bool:
    """Return whether a service existed and none has given a sign of life in time."""
    query = select(LeaderRecord.name).where(LeaderRecord.name == SERVICE, not_(IS_HELD))
    return session.execute(query).first() is not None


def num_claimable(connection: Connection, *, most: int, per_owner: int) -> int:
    """Return how many waiting trials workers could claim now, at most ``most``.

    A job is counted by the counts that it keeps, so the cost does not depend on the number of
    waiting trials. An owner has room for ``per_owner`` running trials.
    """
    rows = connection.execute(_CLAIMABLE, {"most": most, "per_owner": per_owner})
    of_owners: dict[str, int] = {}
    for counts, room, owner, busy in rows:
        # The counts are kept with every change; a job that is here has one in any case.
        found = max(1, min(counts.get(TrialState.WAITING, 0), room))
        left = most if owner == "" else per_owner - busy
        of_owners[owner] = min(left, of_owners.get(owner, 0) + found)
    return min(most, sum(of_owners.values()))


_LEADERS = table_of(LeaderRecord)
_NOTE_SERVICE = (
    update(_LEADERS)
    .where(_LEADERS.c.name == SERVICE)
    .values(lease_until=clock.db_now() + bindparam("seconds"), lease_seconds=bindparam("seconds"))
    .returning(_LEADERS.c.name)
)
_CLAIMABLE = (
    claims.open_jobs()
    .with_only_columns(
        claims.UNFINISHED.c.counts,
        claims.UNFINISHED.c.parallel_trials - claims.UNFINISHED.c.running,
        claims.UNFINISHED.c.owner,
        claims.BUSY_OF_OWNER,
    )
    .limit(bindparam("most"))
)


Presence = Literal["there", "silent", "never"]


@dataclass(frozen=True, kw_only=True)
class Vigil:
    """Who is running, and what is waiting. ``overdue`` lists trials and their workers."""

    searcher: Presence
    service: Presence
    num_unfinished: int
    num_claimable: int
    overdue: tuple[tuple[str, str], ...]


def vigil(session: Session, *, overdue_seconds: float, per_owner: int, most: int = 100) -> Vigil:
    """Return who is running and what waits. Leases count once over for ``overdue_seconds``."""
    held = dict(session.execute(select(LeaderRecord.name, IS_HELD)).all())
    over = (
        select(AttemptRecord.trial_id, AttemptRecord.worker)
        .where(
            AttemptRecord.state == AttemptState.ACTIVE,
            AttemptRecord.lease_until < clock.db_now() - overdue_seconds,
        )
        .limit(most)
    )
    unfinished = select(func.count()).where(JobRecord.finished_at.is_(None))
    return Vigil(
        searcher=_presence(held.get(SEARCHER)),
        service=_presence(held.get(SERVICE)),
        num_unfinished=session.execute(unfinished).scalar_one(),
        num_claimable=num_claimable(session.connection(), most=most, per_owner=per_owner),
        overdue=tuple((trial_id, worker) for trial_id, worker in session.execute(over)),
    )


def _presence(is_held: bool | None) -> Presence:
    if is_held is None:
        return "never"
    return "there" if is_held else "silent"
