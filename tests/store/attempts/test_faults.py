"""A worker that fails again and again is set aside, whoever's trials it would burn."""

import pytest

from featherweight.specs.protocol import Failure
from featherweight.specs.states import FailureClass, TrialState
from store.attempts import attempts, faults
from store.database import clock
from store.tables.records import WorkerFaultRecord
from store.trials import trials
from tests import factories

BROKEN = Failure(failure_class=FailureClass.INFRASTRUCTURE, message="no memory bus")
BUG = Failure(failure_class=FailureClass.BUG, message="libtorch is damaged")


def fail(session, times, worker="broken", failure=BROKEN):
    for _ in range(times):
        mine = factories.must_claim(session, worker)
        attempts.fail(session, mine.attempt, mine.token, failure)


def seconds_left(session, worker="broken"):
    found = faults.set_aside(session, worker)
    return None if found is None else found.until - clock.now(session)


def test_a_few_failures_in_a_row_set_a_worker_aside_and_each_further_one_for_longer(database):
    with database.write() as session:
        factories.searching_job(session, waiting=4)
        fail(session, faults.PATIENCE - 1)
        assert faults.set_aside(session, "broken") is None
        fail(session, 1)
        first = seconds_left(session)
        assert first is not None
        assert 0 < first <= 5
        found = faults.set_aside(session, "broken")
        assert found is not None
        assert "no memory bus" in found.reason
        fail(session, 1)
        second = seconds_left(session)
        assert second is not None
        assert second > 1.5 * first


def test_no_pause_grows_without_end(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0, budget={"trials": 99})
        for _ in range(20):
            factories.trial(session, job)
            fail(session, 1)
        left = seconds_left(session)
        assert left is not None
        assert 200 < left <= 300


def test_a_rung_ends_the_row(database):
    with database.write() as session:
        factories.searching_job(session, waiting=2)
        fail(session, faults.PATIENCE - 1)
        mine = factories.must_claim(session, "broken")
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
        attempts.fail(session, mine.attempt, mine.token, BROKEN)  # after its rung: no fault
        fail(session, faults.PATIENCE - 1)
        assert faults.set_aside(session, "broken") is None


def test_long_ago_is_forgotten(database):
    with database.write() as session:
        factories.searching_job(session)
        fail(session, faults.PATIENCE - 1)
        session.get_one(WorkerFaultRecord, "broken").set_aside_until -= 3600
        fail(session, 1)
        assert session.get_one(WorkerFaultRecord, "broken").in_a_row == 1


def test_a_silent_worker_is_set_aside_too_under_every_boot_id(database):
    with database.write() as session:
        factories.searching_job(session, waiting=2)
        for _ in range(faults.PATIENCE):
            factories.must_claim(session, "broken", lease_seconds=factories.OVER)
            assert attempts.reap(session) == 1
        assert faults.set_aside(session, "broken") is not None


def test_a_bug_that_meets_everybody_sets_nobody_aside(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session, "broken"))
        for _ in range(faults.PATIENCE):
            factories.trial(session, job)
            fail(session, 1, failure=BUG)
        assert faults.set_aside(session, "broken") is None


def test_a_bug_that_only_one_worker_meets_is_that_workers(database):
    with database.write() as session:
        factories.searching_job(session, waiting=faults.PATIENCE)
        fail(session, faults.PATIENCE, failure=BUG)
        assert faults.set_aside(session, "broken") is not None
        assert faults.set_aside(session, "baseline-worker") is None


@pytest.mark.parametrize("kind", ["numerical", "out_of_memory", "export_parity", "target_parity"])
def test_what_is_a_candidates_own_fault_is_no_workers(database, kind):
    failure = Failure(failure_class=FailureClass(kind), message="as candidates do")
    with database.write() as session:
        factories.searching_job(session, waiting=4)
        fail(session, 4, failure=failure)
        assert faults.set_aside(session, "broken") is None


@pytest.mark.parametrize("ways", ["silent", "restarted"])
def test_a_trial_that_gets_on_each_time_is_never_given_up(database, ways):
    """On a machine that is often taken away: each attempt reaches one rung and is lost."""
    rungs = tuple(range(8))
    lost = Failure(failure_class=FailureClass.LOST_WORKER, message="restarted")
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        row = factories.trial(session, job, rungs=rungs)
        for rung in rungs[:-1]:
            mine = factories.must_claim(session, lease_seconds=factories.OVER)
            assert mine.first_rung == rung
            report = factories.report_of(session, mine, rung=rung)
            attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
            if ways == "silent":
                assert attempts.reap(session) == 1
            else:
                attempts.fail(session, mine.attempt, mine.token, lost)
        found = trials.get(session, row.id)
        assert (found.state, found.failures) == (TrialState.WAITING, {})
        assert faults.set_aside(session, "worker") is None


def test_attempts_without_a_new_rung_still_count_after_one_with(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
        attempts.reap(session)
        for _ in range(4):
            factories.must_claim(session, lease_seconds=factories.OVER)
            assert attempts.reap(session) == 1
        found = trials.get(session, mine.trial)
        assert (found.state, found.failure_class) == (TrialState.FAILED, "lost_worker")


def test_nobody_is_set_aside_for_longer_after_the_clock_was_set_back(database):
    with database.write() as session:
        factories.searching_job(session, waiting=4)
        fail(session, faults.PATIENCE)
        assert faults.set_aside(session, "broken") is not None
        session.get_one(WorkerFaultRecord, "broken").set_aside_until += 3600
        session.flush()
        assert faults.set_aside(session, "broken") is None
