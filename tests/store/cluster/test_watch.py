"""Watchers wake when somebody has committed."""

import threading
import time

import pytest

from store.cluster.watch import Watcher
from store.jobs import events, jobs
from store.session import open_database
from tests import factories


@pytest.fixture
def watcher(database):
    watcher = Watcher(database)
    yield watcher
    watcher.close()


def write(database):
    with database.write() as session:
        factories.job(session)


def test_a_watcher_sleeps_while_nothing_happens(watcher):
    assert not watcher.wait(0.2)


def test_a_watcher_wakes_within_a_second_of_a_commit(database, watcher):
    watcher.wait(0)
    timer = threading.Timer(0.1, write, args=(database,))
    timer.start()
    begin = time.monotonic()
    assert watcher.wait(10)
    assert time.monotonic() - begin < 1
    timer.join()


def test_a_wait_on_sqlite_ends_when_it_is_stopped(tmp_path):
    watcher = Watcher(open_database(f"sqlite:///{tmp_path}/empty.db", check_schema=False))
    timer = threading.Timer(0.1, watcher.stop)
    timer.start()
    begin = time.monotonic()
    assert not watcher.wait(10)
    assert time.monotonic() - begin < 5
    timer.join()
    watcher.close()


def test_a_change_between_two_waits_is_seen_by_the_second(database, watcher):
    write(database)
    assert watcher.wait(5)
    assert not watcher.wait(0.1)


def test_many_changes_wake_up_less_often(database, watcher):
    with database.write() as session:
        job = factories.job(session)
    for _ in range(5):
        with database.write() as session:
            events.append(session, jobs.lock(session, job.id), "test", {})
    # A busy PostgreSQL may announce the last of them a moment after the first was read.
    assert 1 <= sum(watcher.wait(0.3) for _ in range(6)) < 5


def test_what_was_rolled_back_wakes_nobody(database, watcher):
    def fail():
        with database.write() as session:
            factories.job(session)
            session.flush()
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        fail()
    assert not watcher.wait(0.2)


def test_a_watcher_can_be_used_in_another_thread_than_it_was_made_in(database, watcher):
    found = []
    write(database)
    thread = threading.Thread(target=lambda: found.append(watcher.wait(5)))
    thread.start()
    thread.join()
    assert found == [True]


def test_a_watcher_comes_back_after_the_database_cut_its_connection(
    database, watcher, cut_connections
):
    cut_connections(database.url)
    is_cut = database.dialect == "postgresql"
    assert watcher.wait(10 if is_cut else 0.1) == is_cut
    write(database)
    assert watcher.wait(10)


def test_the_pool_comes_back_after_the_database_cut_its_connections(database, cut_connections):
    write(database)
    cut_connections(database.url)
    write(database)
    with database.read() as session:
        assert len(jobs.active(session)) == 2
