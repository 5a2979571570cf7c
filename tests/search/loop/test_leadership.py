"""The lead of one searcher: what was decided under one term is not written under another."""

from __future__ import annotations

import pytest

from search.errors import LeadershipLost
from search.loop.leadership import Leadership
from store.cluster import leader
from store.session import Database
from store.tables.records import LeaderRecord

OVER = -1.0
"""A lease that is over when it begins."""


def leadership(
    database: Database, holder: str, told: list[str], *, seconds: float = OVER
) -> Leadership:
    return Leadership(
        database, holder=holder, lease_seconds=seconds, lapsed=lambda: told.append(holder)
    )


def held(database: Database) -> tuple[str, int]:
    with database.read() as session:
        row = session.get_one(LeaderRecord, leader.SEARCHER)
        return row.holder, row.term


def test_a_write_under_a_lead_that_another_had_meanwhile_is_refused(database: Database) -> None:
    told: list[str] = []
    first, second = leadership(database, "first", told), leadership(database, "second", told)
    assert first.is_held()
    assert second.is_held()
    before = held(database)
    with pytest.raises(LeadershipLost, match="or had meanwhile"), first.write():
        pass
    assert held(database) == before, "the refused write must not take the lead either"


def test_a_leader_whose_lead_lapsed_without_another_may_write(database: Database) -> None:
    first = leadership(database, "first", [])
    assert first.is_held()
    with first.write():
        pass
    assert held(database) == ("first", 1)


def test_nobody_writes_before_the_lead_was_taken(database: Database) -> None:
    first = leadership(database, "first", [], seconds=60)
    with pytest.raises(LeadershipLost), first.write():
        pass
    assert first.is_held()
    with first.write():
        pass


def test_what_is_remembered_is_dropped_after_another_term(database: Database) -> None:
    told: list[str] = []
    first = leadership(database, "first", told, seconds=60)
    assert first.is_held()
    told.clear()
    with database.write() as session:
        leader.resign(session, "first")
        assert leader.take(session, "second", lease_seconds=OVER)
    first.doubt()
    assert first.is_held()
    assert told == ["first"]
    with first.write():
        pass
