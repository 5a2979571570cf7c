"""Complete, fail, release: what becomes of a trial, once."""

import pytest

from featherweight.specs.protocol import Failure, Heartbeat
from featherweight.specs.states import (
    RETRIES,
    AttemptState,
    FailureClass,
    TrialState,
)
from store.attempts import attempts
from store.errors import Conflict, StaleAttempt
from store.jobs import events, jobs
from store.trials import trials
from tests import factories


def claimed(session, **changes):
    factories.searching_job(session, **changes)
    return factories.must_claim(session)


def test_a_trial_that_reached_its_last_rung_is_complete(database):
    with database.write() as session:
        mine = claimed(session)
        assert factories.deliver(session, mine).state == TrialState.COMPLETE
        trial = trials.get(session, mine.trial)
        assert (trial.rung, trial.epochs, trial.reason) == (1, 1, "last rung")
        assert attempts.of_trial(session, trial.id)[0].state == AttemptState.DELIVERED


def test_a_trial_that_may_not_climb_is_stopped_with_the_reason(database):
    with database.write() as session:
        mine = claimed(session)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.stop)
        trial = trials.get(session, mine.trial)
        assert (trial.state, trial.reason, trial.measurement) == (
            TrialState.STOPPED,
            "stopped at rung 0",
            report.measurement.model_dump(mode="json"),
        )
        (attempt,) = attempts.of_trial(session, trial.id)
        assert attempt.state == AttemptState.DELIVERED


def test_a_last_report_ends_the_trial_and_complete_changes_nothing(database):
    with database.write() as session:
        mine = claimed(session)
        for rung in (0, 1):
            report = factories.report_of(session, mine, rung=rung)
            attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
        assert trials.get(session, mine.trial).state == TrialState.COMPLETE
    with database.write() as session:
        job = jobs.get(session, mine.job)
        again = attempts.complete(session, mine.attempt, mine.token)
        assert again.repeated
        assert again.state == TrialState.COMPLETE
        kinds = [event.type for event in events.after(session, job.id, 0)]
        assert kinds.count("trial.complete") == 2  # the baseline's and this one's


def test_complete_without_any_report_is_refused(database):
    with database.write() as session:
        mine = claimed(session)
    with pytest.raises(Conflict, match="no report"), database.write() as session:
        attempts.complete(session, mine.attempt, mine.token)
    with database.read() as session:
        assert trials.get(session, mine.trial).state == TrialState.RUNNING


def test_complete_before_the_trial_was_told_to_end_is_refused(database):
    with database.write() as session:
        mine = claimed(session)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
    with pytest.raises(Conflict, match="has ended it"), database.write() as session:
        attempts.complete(session, mine.attempt, mine.token)


@pytest.mark.parametrize("kind", RETRIES)
def test_each_failure_class_has_its_retries_and_then_the_trial_is_quarantined(database, kind):
    failure = Failure(failure_class=kind, message="as it happened")
    with database.write() as session:
        mine = claimed(session)
        for _ in range(RETRIES[kind]):
            result = attempts.fail(session, mine.attempt, mine.token, failure)
            assert result.state == TrialState.WAITING
            mine = factories.must_claim(session)
        result = attempts.fail(session, mine.attempt, mine.token, failure)
        assert result.state == TrialState.FAILED
        trial = trials.get(session, mine.trial)
        assert (trial.failure_class, trial.reason) == (kind, "as it happened")
        assert trial.num_attempts == RETRIES[kind] + 1
        assert factories.claim(session) is None


def test_failures_of_different_classes_are_counted_apart(database):
    with database.write() as session:
        mine = claimed(session)
        for kind in (FailureClass.OUT_OF_MEMORY, FailureClass.INFRASTRUCTURE):
            failure = Failure(failure_class=kind, message="again")
            attempts.fail(session, mine.attempt, mine.token, failure)
            mine = factories.must_claim(session)
        assert trials.get(session, mine.trial).failures == {
            "out_of_memory": 1,
            "infrastructure": 1,
        }


def test_fail_twice_counts_once(database):
    failure = Failure(failure_class=FailureClass.INFRASTRUCTURE, message="disk full")
    with database.write() as session:
        mine = claimed(session)
        attempts.fail(session, mine.attempt, mine.token, failure)
        assert attempts.fail(session, mine.attempt, mine.token, failure).repeated
        assert trials.get(session, mine.trial).failures == {"infrastructure": 1}


def test_a_failed_trial_does_not_end_its_job(database):
    failure = Failure(failure_class=FailureClass.BUG, message="broken")
    with database.write() as session:
        mine = claimed(session, waiting=2)
        attempts.fail(session, mine.attempt, mine.token, failure)
        assert factories.must_claim(session).number == 2


def test_a_released_trial_waits_again_and_nothing_is_counted(database):
    with database.write() as session:
        mine = claimed(session)
        result = attempts.release(session, mine.attempt, mine.token)
        assert (result.state, result.repeated) == (TrialState.WAITING, False)
        assert attempts.release(session, mine.attempt, mine.token).repeated
        assert trials.get(session, mine.trial).failures == {}
        assert factories.must_claim(session, "other").trial == mine.trial


def test_a_released_attempt_cannot_be_completed(database):
    with database.write() as session:
        mine = claimed(session)
        attempts.release(session, mine.attempt, mine.token)
        with pytest.raises(StaleAttempt):
            attempts.complete(session, mine.attempt, mine.token)


def test_a_cancelled_job_tells_its_workers_and_their_trials_are_stopped(database):
    with database.write() as session:
        mine = claimed(session)
        jobs.cancel(session, mine.job)
        beat = Heartbeat()
        reply = attempts.heartbeat(session, mine.attempt, mine.token, beat, lease_seconds=9)
        assert reply.stop == "cancelled"
        assert attempts.release(session, mine.attempt, mine.token).state == TrialState.STOPPED
        assert trials.get(session, mine.trial).reason == "cancelled"


def test_a_worker_of_a_cancelled_job_may_also_complete_what_it_has(database):
    with database.write() as session:
        mine = claimed(session)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
        jobs.cancel(session, mine.job)
        result = attempts.complete(session, mine.attempt, mine.token)
        assert result.state == TrialState.STOPPED
        assert trials.get(session, mine.trial).measurement is not None


@pytest.mark.parametrize("kind", [FailureClass.INFRASTRUCTURE, FailureClass.LOST_WORKER])
def test_a_trial_of_a_cancelled_job_is_not_tried_again(database, kind):
    with database.write() as session:
        mine = claimed(session)
        jobs.cancel(session, mine.job)
        failure = Failure(failure_class=kind, message="gone")
        result = attempts.fail(session, mine.attempt, mine.token, failure)
        assert result.state == TrialState.STOPPED


def test_a_lost_worker_of_a_cancelled_job_leaves_a_stopped_trial(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        jobs.cancel(session, mine.job)
        attempts.reap(session)
        assert trials.get(session, mine.trial).state == TrialState.STOPPED
