"""One active searcher at a time, by the database's clock."""

import threading

from store.cluster import leader, liveness
from store.tables.records import LeaderRecord


def test_the_role_is_kept_by_renewing_it(database):
    for _ in range(3):
        with database.write() as session:
            assert leader.take(session, "one", lease_seconds=60)
            assert not leader.take(session, "two", lease_seconds=60)
    with database.read() as session:
        assert session.get_one(LeaderRecord, leader.SEARCHER).term == 1


def test_a_role_that_ran_out_goes_to_whoever_asks_first(database):
    with database.write() as session:
        assert leader.take(session, "one", lease_seconds=-1)
    with database.write() as session:
        assert leader.take(session, "two", lease_seconds=60)
        assert not leader.take(session, "one", lease_seconds=60)


def test_a_role_that_was_given_up_is_free_at_once(database):
    with database.write() as session:
        leader.take(session, "one", lease_seconds=60)
        leader.resign(session, "two")
        assert not leader.take(session, "two", lease_seconds=60)
        leader.resign(session, "one")
        assert leader.take(session, "two", lease_seconds=60)


def test_different_roles_have_different_holders(database):
    with database.write() as session:
        assert leader.take(session, "one", lease_seconds=60)
        assert leader.take(session, "two", lease_seconds=60, name="other")


def test_of_many_that_ask_at_once_one_gets_the_role(database):
    start, answers = threading.Barrier(6), []

    def ask(holder):
        start.wait()
        with database.write() as session:
            answers.append(leader.take(session, holder, lease_seconds=60))

    threads = [threading.Thread(target=ask, args=(f"holder-{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, answers)) == [False] * 5 + [True]


def test_a_lease_that_ends_later_than_it_can_is_over(database):
    with database.write() as session:
        assert leader.take(session, "first", lease_seconds=30) == 1
        session.get_one(LeaderRecord, leader.SEARCHER).lease_until += 3600
    with database.write() as session:
        assert not liveness.searcher_is_alive(session)
        assert leader.take(session, "second", lease_seconds=30) == 2
        assert liveness.searcher_is_alive(session)
        assert leader.take(session, "first", lease_seconds=30) is None


def test_the_length_of_a_lease_is_its_holders(database):
    with database.write() as session:
        assert leader.take(session, "rebuild", lease_seconds=600) == 1
        assert leader.take(session, "searcher", lease_seconds=5) is None
