"""Transactions: a writer commits at the end or not at all, a reader never."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from store.database import clock
from store.jobs import jobs
from store.session import Database, open_database
from store.tables.records import JobRecord
from tests import factories


def test_a_writer_commits_at_the_end(database):
    with database.write() as session:
        job = factories.job(session)
    with database.read() as session:
        assert jobs.get(session, job.id).name == "job"


def test_a_writer_that_fails_leaves_nothing(database):
    def fail():
        with database.write() as session:
            factories.job(session)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as session:
        assert session.query(JobRecord).count() == 0


def test_records_stay_readable_after_their_session(database):
    with database.write() as session:
        job_id = factories.job(session).id
    with database.read() as session:
        job = jobs.get(session, job_id)
    assert job.spec["data"] == "digits"


def test_a_reader_leaves_nothing(database):
    def write():
        with database.read() as session:
            factories.job(session)
            session.flush()

    if database.dialect == "postgresql":
        with pytest.raises(DBAPIError):
            write()
    else:
        write()
    with database.read() as session:
        assert session.query(JobRecord).count() == 0


def test_readers_go_on_while_a_writer_holds_the_database(database):
    with database.write() as writer:
        factories.job(writer)
        with database.read() as reader:
            assert reader.query(JobRecord).count() == 0


def test_sqlite_waits_for_locks_keeps_foreign_keys_and_writes_ahead(sqlite_template):
    database = Database(f"sqlite:///{sqlite_template}")
    with database.read() as session:
        found = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    database.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 1,
        "busy_timeout": 10_000,
        "foreign_keys": 1,
    }


def test_writers_take_turns_on_one_job(database):
    with database.write() as session:
        job = factories.job(session)
        session.execute(text("UPDATE fw_jobs SET paused_seconds = 0"))

    def add(times):
        for _ in range(times):
            with database.write() as session:
                record = jobs.lock(session, job.id)
                record.paused_seconds += 1

    threads = [threading.Thread(target=add, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert jobs.get(session, job.id).paused_seconds == 80


def test_the_database_tells_the_time(database):
    with database.read() as session:
        assert abs(clock.now(session) - clock.utc_now().timestamp()) < 5


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_a_database_that_processes_cannot_share_is_refused(url):
    with pytest.raises(ValueError, match=r"the database must be a file|expected a sqlite or"):
        open_database(url, check_schema=False)


def test_naive_times_are_refused(database):
    with pytest.raises(Exception, match="a naive time"), database.write() as session:
        factories.job(session).started_at = clock.utc_now().replace(tzinfo=None)
