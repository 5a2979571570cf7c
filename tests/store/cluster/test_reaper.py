"""Leases are judged only while their workers could have been heard."""

import time

import pytest
from sqlalchemy import select, text

from featherweight.specs.protocol import Heartbeat
from featherweight.specs.states import AttemptState, TrialState
from store.attempts import attempts
from store.cluster import liveness
from store.cluster.reaper import Reaper
from store.database import clock
from store.database.outages import OUTAGES
from store.jobs import jobs
from store.tables.records import AttemptRecord
from store.trials import trials
from tests import factories

LEASE = 0.5
"""Seconds; what is over after one of them is over."""


@pytest.fixture
def mine(database):
    with database.write() as session:
        factories.searching_job(session)
        return factories.must_claim(session, lease_seconds=LEASE)


def state(database, assignment):
    with database.read() as session:
        return trials.get(session, assignment.trial).state


def over():
    time.sleep(LEASE + 0.1)


def test_a_dead_worker_loses_its_trial_once_it_was_silent_for_a_lease(database, mine):
    reaper = Reaper(database)
    assert reaper.look() == 0
    over()
    assert reaper.look() == 1
    assert state(database, mine) == TrialState.WAITING


def test_a_reaper_that_has_just_begun_gives_everybody_a_lease(database, mine):
    over()
    reaper = Reaper(database)
    assert reaper.look() == 0
    assert state(database, mine) == TrialState.RUNNING
    over()
    assert reaper.look() == 1


def test_while_no_service_is_there_no_worker_is_to_blame(database, mine):
    reaper = Reaper(database)
    reaper.look()
    with database.write() as session:
        liveness.note_service(session, seconds=0.0)
    over()
    assert reaper.look() == 0
    with database.write() as session:
        liveness.note_service(session, seconds=60.0)
    assert reaper.look() == 0
    assert state(database, mine) == TrialState.RUNNING
    over()
    assert reaper.look() == 1


def test_a_service_is_silent_once_its_sign_is_over(database):
    with database.write() as session:
        assert not liveness.service_is_silent(session)
        liveness.note_service(session, seconds=60.0)
        assert not liveness.service_is_silent(session)
        liveness.note_service(session, seconds=-1.0)
        assert liveness.service_is_silent(session)
        assert not liveness.searcher_is_alive(session)


def test_a_worker_heard_within_that_lease_keeps_its_trial(database, mine):
    over()
    reaper = Reaper(database)
    reaper.look()
    with database.write() as session:
        attempts.heartbeat(session, mine.attempt, mine.token, Heartbeat(), lease_seconds=60)
    over()
    assert reaper.look() == 0
    assert state(database, mine) == TrialState.RUNNING


def test_a_reaper_that_was_suspended_begins_anew(database, mine):
    reaper = Reaper(database, longest_gap_seconds=0.3)
    reaper.look()
    over()
    assert reaper.look() == 0
    over_at = time.monotonic() + LEASE + 0.1
    while time.monotonic() < over_at:
        assert reaper.look() == 0 or time.monotonic() > over_at - 0.2
        time.sleep(0.05)
    reaper.look()
    assert state(database, mine) == TrialState.WAITING


def test_a_database_that_takes_no_writes_is_no_silence_of_the_workers(sqlite_database):
    database = sqlite_database
    with database.write() as session:
        factories.searching_job(session)
        factories.must_claim(session, lease_seconds=LEASE)
    reaper = Reaper(database)
    reaper.look()
    over()
    with database.write() as session:
        session.execute(text("ALTER TABLE fw_worker_faults RENAME TO away"))
    with pytest.raises(OUTAGES):
        reaper.look()
    with database.write() as session:
        session.execute(text("ALTER TABLE away RENAME TO fw_worker_faults"))
    assert reaper.look() == 0
    over()
    assert reaper.look() == 1


def test_a_clock_that_was_set_back_lets_no_lease_last_for_ever(database, mine):
    with database.write() as session:
        attempt = session.get_one(AttemptRecord, mine.attempt)
        attempt.lease_until += 3600
    reaper = Reaper(database)
    assert reaper.look() == 0
    with database.read() as session:
        left = session.get_one(AttemptRecord, mine.attempt).lease_until - clock.now(session)
    assert left <= LEASE
    over()
    assert reaper.look() == 1


def test_a_worker_that_lives_on_after_the_clock_was_set_back_keeps_its_trial(database, mine):
    with database.write() as session:
        session.get_one(AttemptRecord, mine.attempt).lease_until += 3600
    reaper = Reaper(database)
    reaper.look()
    with database.write() as session:
        attempts.heartbeat(session, mine.attempt, mine.token, Heartbeat(), lease_seconds=60)
    over()
    assert reaper.look() == 0
    assert state(database, mine) == TrialState.RUNNING


def test_a_lease_of_an_older_version_has_the_usual_length(database, mine):
    with database.write() as session:
        session.get_one(AttemptRecord, mine.attempt).lease_seconds = None
    reaper = Reaper(database)
    reaper.look()
    over()
    assert reaper.look() == 0  # fifteen seconds have not passed
    with database.write() as session:
        assert attempts.reap(session) == 1


def test_a_job_that_somebody_holds_does_not_keep_the_others_waiting(database):
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with database.write() as session:
        held = factories.searching_job(session)
        first = factories.must_claim(session, "one", lease_seconds=LEASE)
    with database.write() as session:
        factories.searching_job(session)
        second = factories.must_claim(session, "two", lease_seconds=LEASE)
    reaper = Reaper(database)
    reaper.look()
    over()
    with database.write() as frozen:
        jobs.lock(frozen, held.id)
        began = time.monotonic()
        assert reaper.look() == 1
        assert time.monotonic() - began < 2
        assert state(database, second) == TrialState.WAITING
        assert state(database, first) == TrialState.RUNNING
    assert reaper.look() == 1


def test_reapers_at_once_count_a_lost_worker_once(database, mine):
    reapers = [Reaper(database) for _ in range(3)]
    for reaper in reapers:
        reaper.look()
    over()
    assert sum(reaper.look() for reaper in reapers) == 1
    with database.read() as session:
        states = session.scalars(select(AttemptRecord.state).where(AttemptRecord.detail != ""))
        assert states.all() == [AttemptState.EXPIRED]
