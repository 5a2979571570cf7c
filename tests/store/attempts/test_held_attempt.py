"""The fence: a worker that lost its lease can change nothing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from featherweight.specs.protocol import Failure, Heartbeat
from featherweight.specs.states import FailureClass, TrialState
from store.attempts import attempts, held_attempt
from store.errors import AttemptNotFound, StaleAttempt
from store.jobs import events, jobs
from store.tables.records import AttemptRecord, JobRecord
from store.trials import rungs, trials
from tests import factories

BROKEN = Failure(failure_class=FailureClass.BUG, message="broken")

STEPS = {
    "heartbeat": lambda session, mine: attempts.heartbeat(
        session, mine.attempt, mine.token, Heartbeat(), lease_seconds=9
    ),
    "report": lambda session, mine: attempts.report(
        session,
        mine.attempt,
        mine.token,
        factories.report_of(session, mine),
        decide=factories.climb,
    ),
    "complete": lambda session, mine: attempts.complete(session, mine.attempt, mine.token),
    "fail": lambda session, mine: attempts.fail(session, mine.attempt, mine.token, BROKEN),
    "release": lambda session, mine: attempts.release(session, mine.attempt, mine.token),
    "check": lambda session, mine: attempts.check(session, mine.attempt, mine.token),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_lost_its_lease_can_change_nothing(database, step):
    with database.write() as session:
        job = factories.searching_job(session)
        lost = factories.must_claim(session, "slow", lease_seconds=factories.OVER)
        attempts.reap(session)
        owner = factories.must_claim(session, "quick")
    with database.read() as session:
        before = jobs.get(session, job.id).last_event
    with pytest.raises(StaleAttempt), database.write() as session:
        STEPS[step](session, lost)
    with database.write() as session:
        assert trials.get(session, owner.trial).state == TrialState.RUNNING
        assert rungs.of_trial(session, owner.trial) == []
        assert len(events.after(session, job.id, before)) == 0
        assert factories.deliver(session, owner).state == TrialState.COMPLETE


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_token_opens_nothing(database, step):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
    with pytest.raises(StaleAttempt), database.write() as session:
        STEPS[step](session, mine.model_copy(update={"token": "guessed"}))
    with database.read() as session:
        assert trials.get(session, mine.trial).state == TrialState.RUNNING


@pytest.mark.parametrize("step", STEPS)
def test_an_unknown_attempt_is_not_found(database, step):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
    with pytest.raises(AttemptNotFound), database.write() as session:
        STEPS[step](session, mine.model_copy(update={"attempt": "nothing"}))


def test_the_token_opens_its_own_active_attempt(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        assert attempts.check(session, mine.attempt, mine.token).trial_id == mine.trial


def test_the_token_itself_is_not_stored(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session)
        attempt = attempts.of_trial(session, mine.trial)[0]
        assert mine.token not in str(vars(attempt))


def test_whoever_waits_for_an_attempt_sees_all_of_it_as_the_one_before_left_it(database):
    with database.write() as session:
        factories.searching_job(session, waiting=2)
        mine = factories.must_claim(session)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            first = held_attempt.hold(session, mine.attempt, mine.token)
            second = pool.submit(look, database, mine)
            wait_for_a_waiter(database, second)
            first.job.name, first.trial.reason, first.attempt.detail = "1", "2", "3"
        assert second.result(timeout=30) == ("1", "2", "3")


def look(database, mine):
    with database.write() as session:
        held = held_attempt.hold(session, mine.attempt, mine.token)
        return held.job.name, held.trial.reason, held.attempt.detail


def test_the_job_is_locked_before_its_trial_and_the_trial_before_its_attempt(database):
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with database.write() as session:
        job_id = factories.searching_job(session).id
        mine = factories.must_claim(session)
    with ThreadPoolExecutor(1) as pool, database.write() as session:
        trials.lock(session, mine.trial)
        second = pool.submit(look, database, mine)
        wait_for_a_waiter(database, second)
        assert not is_free(database, JobRecord, job_id)
        assert is_free(database, AttemptRecord, mine.attempt)


def is_free(database, table, key):
    row = select(table.id).where(table.id == key).with_for_update(skip_locked=True)
    with database.write() as session:
        return session.scalar(row) is not None


def wait_for_a_waiter(database, running):
    """Return when another transaction waits for a row; at once on SQLite, where it cannot tell."""
    waiters = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    until = time.monotonic() + 30
    while database.dialect == "postgresql" and time.monotonic() < until:
        assert not running.done()
        with database.read() as session:
            if session.scalar(waiters):
                return
    assert database.dialect == "sqlite", "nobody waits"
