"""No wait inside PostgreSQL is without a limit, and a row that somebody holds stops no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url, text

from store.database import engines, outages
from store.database.engines import POSTGRESQL_LIMITS_MS, open_engine
from store.jobs import jobs
from store.session import Database
from tests import factories

LEASE_MS = 15_000
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def postgresql(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database whose waits are short, as a test cannot wait for the usual ones."""
    limits = {**POSTGRESQL_LIMITS_MS, "lock_timeout": 300}
    monkeypatch.setattr(engines, "POSTGRESQL_LIMITS_MS", limits)
    return database


@contextmanager
def held(database: Database, job_id: str) -> Iterator[psycopg.Connection]:
    """The job's row held by somebody who does not go on: an open psql, a sleeping laptop."""
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE fw_jobs SET name = name WHERE id = %s", [job_id])
        yield connection
        connection.rollback()


def two_jobs(database: Database) -> tuple[str, str]:
    """Two running jobs with a waiting trial each, oldest first."""
    with database.write() as session:
        first = factories.searching_job(session, waiting=0)
        second = factories.searching_job(session)
        factories.trial(session, first)
        return first.id, second.id


def claimed_job(database: Database, worker: str) -> str | None:
    with database.write() as session:
        assignment = factories.claim(session, worker)
    return None if assignment is None else assignment.job


@pytest.mark.parametrize("name", POSTGRESQL_LIMITS_MS)
def test_every_session_has_limits_below_a_lease_and_migrations_have_none(name, database_url):
    found = []
    for is_patient in (False, True):
        engine = open_engine(database_url, is_patient=is_patient)
        with engine.connect() as connection:
            query = text(f"SELECT setting FROM pg_settings WHERE name = '{name}'")
            found.append(int(connection.execute(query).scalar_one()))
        engine.dispose()
    assert found == [POSTGRESQL_LIMITS_MS[name], 0]
    assert 0 < found[0] < LEASE_MS


def test_a_claim_passes_over_a_job_that_somebody_holds(postgresql):
    first, second = two_jobs(postgresql)
    with held(postgresql, first):
        assert claimed_job(postgresql, "a") == second
        assert claimed_job(postgresql, "b") is None
    assert claimed_job(postgresql, "b") == first


def test_a_claim_waits_a_moment_for_a_job_that_is_held_for_a_moment(postgresql):
    with postgresql.write() as session:
        job = factories.searching_job(session).id
    with held(postgresql, job) as other:
        release = threading.Timer(0.05, other.rollback)
        release.start()
        assert claimed_job(postgresql, "a") == job
        release.join()


def test_a_claim_after_a_short_wait_has_the_usual_limit_again(postgresql):
    first, _ = two_jobs(postgresql)
    with held(postgresql, first), postgresql.write() as session:
        factories.claim(session, "a")
        factories.claim(session, "b")
        assert session.scalar(text("SHOW lock_timeout")) == "300ms"


def test_who_waits_too_long_for_a_row_is_told_and_may_ask_again(postgresql):
    first, _ = two_jobs(postgresql)
    with (
        held(postgresql, first),
        pytest.raises(outages.OUTAGES) as caught,
        postgresql.write() as session,
    ):
        jobs.lock(session, first)
    assert outages.is_lock_timeout(caught.value)
    with postgresql.write() as session:
        assert jobs.lock(session, first).id == first


def test_who_idles_in_a_transaction_loses_it_and_its_locks(postgresql):
    first, _ = two_jobs(postgresql)

    def idle() -> None:
        with postgresql.write() as session:
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
            jobs.lock(session, first)
            until(lambda: is_free(postgresql, first))
            jobs.pause(session, first)

    with pytest.raises(outages.OUTAGES) as caught:
        idle()
    assert not outages.is_lock_timeout(caught.value)
    with postgresql.read() as session:
        assert jobs.get(session, first).state == "running"


def test_a_query_without_an_end_is_ended(postgresql):
    def ask() -> None:
        with postgresql.read() as session:
            session.execute(text("SET LOCAL statement_timeout = 50"))
            session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(outages.OUTAGES):
        ask()


def is_free(database: Database, job_id: str) -> bool:
    with database.write() as session:
        return jobs.lock_if_free(session, job_id) is not None


def until(look: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not look():
        assert time.monotonic() < ends
        time.sleep(0.02)
