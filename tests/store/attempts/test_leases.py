"""Claims, heartbeats and the reaper: each trial is at one worker at a time."""

import threading

import pytest

from compress.techniques.candidate import Candidate
from compress.values.schedule import Schedule
from featherweight.specs.protocol import Heartbeat, Tutor, Weights
from featherweight.specs.states import AttemptState, Phase, TrialState
from store.attempts import attempts, workers
from store.errors import StaleAttempt
from store.jobs import jobs
from store.trials import trials
from tests import factories


def test_a_worker_gets_the_oldest_trial_of_the_oldest_job(database):
    with database.write() as session:
        first = factories.searching_job(session, waiting=2)
        factories.job(session, running=True)
        assignment = factories.must_claim(session)
        assert (assignment.job, assignment.number) == (first.id, 1)


def test_an_assignment_says_all_that_a_worker_needs(database):
    with database.write() as session:
        factories.searching_job(session, waiting=0)
        job = jobs.active(session)[0]
        trial = factories.trial(session, job, candidate=factories.candidate(0.4), seed=7)
        assignment = factories.must_claim(session)
    assert assignment.trial == trial.id
    assert assignment.candidate == factories.candidate(0.4)
    assert (assignment.seed, assignment.rungs, assignment.first_rung) == (7, (0, 1), 0)
    assert assignment.phase == Phase.SEARCH
    assert assignment.architecture.config == factories.ARCHITECTURE
    assert assignment.num_classes == 2
    assert assignment.train is None
    assert assignment.weights is not None
    assert assignment.weights.sha256 == job.weights_sha256
    assert assignment.weights.normalisation == factories.NORMALISATION


@pytest.mark.parametrize(
    ("step", "is_taught"),
    [
        ({"teacher": "uploaded"}, True),
        ({"teacher": "uploaded", "weight": 0.0}, False),
        ({"teacher": "baseline"}, False),
    ],
)
def test_an_assignment_brings_the_teacher_to_a_candidate_that_learns_from_it(
    database, step, is_taught
):
    candidate = Candidate.model_validate({"steps": [{"technique": "distillation"} | step]})
    with database.write() as session:
        teacher = factories.model(session, "large")
        job = factories.searching_job(session, waiting=0, teacher=teacher)
        factories.trial(session, job, candidate=candidate)
        given = factories.must_claim(session).tutor
    expected = Tutor(
        weights=Weights(sha256=teacher.sha256, normalisation=factories.NORMALISATION),
        architecture=factories.ARCHITECTURE,
    )
    assert given == (expected if is_taught else None)


def test_an_assignment_says_how_the_job_trains_what_it_compressed(database):
    with database.write() as session:
        factories.job(session, running=True, recovery={"learning_rate": 0.1, "precision": "bf16"})
        factories.trial(session, jobs.active(session)[0], phase=Phase.BASELINE)
        found = factories.must_claim(session).recovery
    assert found == Schedule(learning_rate=0.1, precision="bf16")


def test_the_baseline_of_an_untrained_model_is_to_be_trained(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        assignment = factories.must_claim(session)
    assert assignment.train is not None
    assert assignment.train.epochs == 1
    assert assignment.weights is None


def test_the_baseline_of_an_uploaded_model_starts_from_its_weights(database):
    with database.write() as session:
        model = factories.model(session)
        job = factories.job(session, model=model, running=True)
        factories.baseline_trial(session, job)
        assignment = factories.must_claim(session)
    assert assignment.train is None
    assert assignment.weights is not None
    assert assignment.weights.sha256 == model.sha256


def test_there_is_nothing_to_do_without_a_running_job(database):
    with database.write() as session:
        factories.trial(session, factories.job(session))
        assert factories.claim(session) is None


def test_a_job_never_has_more_than_its_parallel_trials_under_concurrent_claims(database):
    with database.write() as session:
        job = factories.searching_job(
            session, waiting=10, budget={"trials": 20, "parallel_trials": 3}
        )
    start, claimed = threading.Barrier(8), []

    def claim(name):
        start.wait()
        with database.write() as session:
            if (assignment := factories.claim(session, name)) is not None:
                claimed.append(assignment.trial)

    threads = [threading.Thread(target=claim, args=(f"worker-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == len(claimed) == 3
    with database.read() as session:
        assert attempts.active_count(session, job.id) == 3


def test_a_full_job_lets_the_next_one_go_first(database):
    with database.write() as session:
        full = factories.searching_job(session, budget={"trials": 6, "parallel_trials": 1})
        other = factories.job(session, running=True)
        factories.trial(session, full)
        factories.baseline_trial(session, other)
        assert factories.must_claim(session, "one").job == full.id
        assert factories.must_claim(session, "two").job == other.id


def test_a_worker_whose_answer_was_lost_gets_its_attempt_again_and_the_old_token_is_stale(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)
        lost = factories.must_claim(session)
    with database.write() as session:
        again = factories.must_claim(session)
    assert (again.attempt, again.trial) == (lost.attempt, lost.trial)
    assert again.token != lost.token
    with database.write() as session:
        assert attempts.active_count(session, job.id) == 1
        beat = Heartbeat()
        with pytest.raises(StaleAttempt):
            attempts.heartbeat(session, lost.attempt, lost.token, beat, lease_seconds=1)
        reply = attempts.heartbeat(session, again.attempt, again.token, beat, lease_seconds=9)
    assert reply.lease_seconds == 9


def test_two_claims_of_one_worker_at_once_share_one_attempt(database):
    with database.write() as session:
        job = factories.searching_job(
            session, waiting=0, budget={"trials": 9, "parallel_trials": 4}
        )
        assert factories.claim(session, "same") is None
        for _ in range(4):
            factories.trial(session, job)
    start, found = threading.Barrier(4), []

    def claim():
        start.wait()
        with database.write() as session:
            found.append(factories.must_claim(session, "same").attempt)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_lease_that_is_over_is_reaped_once_and_counted_as_a_lost_worker(database):
    with database.write() as session:
        job = factories.searching_job(session)
        assignment = factories.must_claim(session, lease_seconds=factories.OVER)
    with database.write() as session:
        assert attempts.reap(session) == 1
    with database.write() as session:
        assert attempts.reap(session) == 0
        trial = trials.get(session, assignment.trial)
        assert (trial.state, trial.failures) == (TrialState.WAITING, {"lost_worker": 1})
        attempt = attempts.of_trial(session, trial.id)[0]
        assert attempt.state == AttemptState.EXPIRED
        assert attempts.active_count(session, job.id) == 0


def test_reapers_at_once_count_a_lost_worker_once(database):
    with database.write() as session:
        factories.searching_job(session)
        assignment = factories.must_claim(session, lease_seconds=factories.OVER)
    start, reaped = threading.Barrier(4), []

    def reap():
        start.wait()
        with database.write() as session:
            reaped.append(attempts.reap(session))

    threads = [threading.Thread(target=reap) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert trials.get(session, assignment.trial).failures == {"lost_worker": 1}
    assert sorted(reaped) == [0, 0, 0, 1]


def test_a_heartbeat_keeps_the_lease_and_the_progress(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        beat = Heartbeat(stage="training", done=0.5)
        reply = attempts.heartbeat(session, mine.attempt, mine.token, beat, lease_seconds=60)
        assert reply.stop is None
    with database.write() as session:
        assert attempts.reap(session) == 0
        assert attempts.of_trial(session, mine.trial)[0].progress == beat.model_dump()


def test_a_retried_trial_begins_after_the_rungs_it_has_reached(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, "one", lease_seconds=factories.OVER)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.climb)
        attempts.reap(session)
        assert factories.must_claim(session, "two").first_rung == 1


def test_a_trial_whose_end_was_decided_is_not_run_again_when_its_worker_dies(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.stop)
        assert attempts.reap(session) == 0
        assert factories.claim(session, "other") is None
        trial = trials.get(session, mine.trial)
    assert (trial.state, trial.reason) == (TrialState.STOPPED, "stopped at rung 0")
    assert trial.failures == {}


def test_a_decided_trial_that_an_older_version_left_running_ends_when_its_lease_does(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, lease_seconds=factories.OVER)
        report = factories.report_of(session, mine)
        attempts.report(session, mine.attempt, mine.token, report, decide=factories.stop)
        trial = trials.get(session, mine.trial)
        (attempt,) = attempts.of_trial(session, mine.trial)
        trial.state, attempt.state = TrialState.RUNNING, AttemptState.ACTIVE
    with database.write() as session:
        assert attempts.reap(session) == 1
        assert trials.get(session, mine.trial).state == TrialState.STOPPED
        assert trials.get(session, mine.trial).failures == {}


def test_workers_are_known_by_their_claims_with_the_trial_they_have(database):
    with database.write() as session:
        factories.searching_job(session)
        mine = factories.must_claim(session, "busy")
        factories.claim(session, "idle")
    with database.read() as session:
        names = [
            worker.name for worker in workers.page(session, seconds=60, limit=10, cursor=None)[0]
        ]
        assert names == ["baseline-worker", "busy", "idle"]
        boot_id = factories.worker_info("busy").boot_id
        assert workers.current_trials(session) == {boot_id: mine.trial}
        assert workers.page(session, seconds=-60, limit=10, cursor=None)[0] == []


def test_an_idle_worker_that_asks_again_at_once_writes_nothing(database):
    with database.write() as session:
        factories.claim(session, "idle")
        first = workers.page(session, seconds=60, limit=10, cursor=None)[0][0].last_seen
    with database.write() as session:
        factories.claim(session, "idle")
        assert not session.dirty
        assert workers.page(session, seconds=60, limit=10, cursor=None)[0][0].last_seen == first
