"""Jobs: idempotent to create, and what cancel, pause and resume mean."""

import threading
from datetime import timedelta

import pytest

from featherweight.specs.states import JobState, Phase, StopReason, TrialState
from store.attempts import attempts
from store.database import clock
from store.errors import IdempotencyConflict, IllegalTransition, JobNotFound, NotRunning
from store.jobs import events, jobs
from store.trials import trials
from tests import factories


def create(session, dataset, *, key="key", body="a" * 64):
    return jobs.create(
        session,
        factories.spec(),
        model=None,
        dataset=dataset,
        idempotency_key=key,
        body_sha256=body,
    )


def test_a_new_job_is_queued_with_its_first_event(database):
    with database.write() as session:
        job, created = create(session, factories.dataset(session))
        assert created
        assert (job.state, job.phase, job.last_event) == (JobState.QUEUED, Phase.BASELINE, 1)
        assert jobs.spec(job) == factories.spec()
        assert [event.type for event in events.after(session, job.id, 0)] == ["job.queued"]


def test_a_repeated_request_gets_the_same_job(database):
    with database.write() as session:
        dataset = factories.dataset(session)
        first, _ = create(session, dataset)
        again, created = create(session, dataset)
        assert (again.id, created) == (first.id, False)
        assert again.last_event == 1


def test_a_key_with_another_body_is_a_conflict(database):
    with database.write() as session:
        dataset = factories.dataset(session)
        create(session, dataset)
        with pytest.raises(IdempotencyConflict):
            create(session, dataset, body="b" * 64)


def test_jobs_without_a_key_are_all_different(database):
    with database.write() as session:
        dataset = factories.dataset(session)
        first, _ = create(session, dataset, key=None)
        second, created = create(session, dataset, key=None)
        assert created
        assert first.id != second.id


def test_the_same_request_from_many_threads_makes_one_job(database):
    with database.write() as session:
        dataset = factories.dataset(session)
    start, made = threading.Barrier(6), []

    def post():
        start.wait()
        with database.write() as session:
            job, created = create(session, dataset)
            made.append((job.id, created))

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job_id for job_id, _ in made}) == 1
    assert sorted(created for _, created in made) == [False] * 5 + [True]


def test_a_job_with_an_uploaded_model_starts_from_its_weights(database):
    with database.write() as session:
        model = factories.model(session)
        job = factories.job(session, model=model)
        assert job.weights_sha256 == model.sha256
        assert job.normalisation == factories.NORMALISATION.model_dump(mode="json")


def test_an_unknown_job_is_not_found(database):
    with database.read() as session, pytest.raises(JobNotFound, match="nothing"):
        jobs.get(session, "nothing")


def test_cancel_stops_what_waits_and_keeps_what_runs(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=3)
        mine = factories.must_claim(session)
        job = jobs.cancel(session, job.id)
        assert (job.state, job.stop_reason) == (JobState.STOPPING, StopReason.CANCELLED)
        states = {trial.number: trial.state for trial in trials.of_job(session, job.id)}
        assert states == {
            0: TrialState.COMPLETE,
            1: TrialState.RUNNING,
            2: TrialState.STOPPED,
            3: TrialState.STOPPED,
        }
        assert trials.of_job(session, job.id)[3].reason == "cancelled"
        assert factories.claim(session, "other") is None
        attempts.release(session, mine.attempt, mine.token)
        jobs.move(session, job, JobState.CANCELLED)
        assert jobs.get(session, job.id).finished_at is not None


def test_cancel_twice_is_the_same_as_once(database):
    with database.write() as session:
        job = factories.searching_job(session)
        before = jobs.cancel(session, job.id).last_event
        assert jobs.cancel(session, job.id).last_event == before


@pytest.mark.parametrize("first", ["queued", "running", "paused"])
def test_a_job_can_be_cancelled_in_every_unfinished_state(database, first):
    with database.write() as session:
        job = factories.job(session, running=first != "queued")
        if first == "paused":
            jobs.pause(session, job.id)
        assert jobs.cancel(session, job.id).state == JobState.STOPPING


def finished(session):
    job = factories.job(session)
    jobs.cancel(session, job.id)
    jobs.move(session, job, JobState.CANCELLED)
    return job


@pytest.mark.parametrize("change", [jobs.cancel, jobs.pause, jobs.resume])
def test_a_finished_job_cannot_be_changed(database, change):
    with database.write() as session:
        job = finished(session)
        with pytest.raises(IllegalTransition, match="nothing else, ever"):
            change(session, job.id)


def test_a_finished_job_takes_no_trials(database):
    with database.write() as session:
        job = finished(session)
        with pytest.raises(NotRunning):
            factories.trial(session, job)


def test_a_job_cannot_end_while_a_trial_is_unfinished(database):
    with database.write() as session:
        job = factories.searching_job(session)
        factories.must_claim(session)
        jobs.cancel(session, job.id)
        with pytest.raises(IllegalTransition, match="1 trials are not finished"):
            jobs.move(session, job, JobState.CANCELLED)


def test_a_job_ends_as_its_stop_reason_says(database):
    with database.write() as session:
        job = factories.job(session)
        jobs.cancel(session, job.id)
        with pytest.raises(IllegalTransition, match="it ends cancelled"):
            jobs.move(session, job, JobState.SUCCEEDED)


def test_a_paused_job_hands_out_nothing_until_it_is_resumed(database):
    with database.write() as session:
        job = factories.searching_job(session)
        assert jobs.pause(session, job.id).state == JobState.PAUSED
        assert factories.claim(session) is None
        assert jobs.resume(session, job.id).state == JobState.RUNNING
        assert factories.must_claim(session).job == job.id


def test_what_runs_goes_on_during_a_pause(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        jobs.pause(session, job.id)
        assert factories.deliver(session, mine).state == TrialState.COMPLETE


def test_pause_and_resume_twice_are_the_same_as_once(database):
    with database.write() as session:
        job = factories.searching_job(session)
        paused = jobs.pause(session, job.id).last_event
        assert jobs.pause(session, job.id).last_event == paused
        resumed = jobs.resume(session, job.id).last_event
        assert jobs.resume(session, job.id).last_event == resumed == paused + 1


@pytest.mark.parametrize("change", [jobs.pause, jobs.resume])
def test_a_queued_job_can_neither_be_paused_nor_resumed(database, change):
    with database.write() as session:
        job = factories.job(session)
        with pytest.raises(IllegalTransition):
            change(session, job.id)


def test_pauses_do_not_count_as_running(database):
    with database.write() as session:
        job = factories.job(session)
        assert jobs.running_seconds(job, clock.utc_now()) == 0
        jobs.move(session, job, JobState.RUNNING)
        job.started_at = clock.utc_now() - timedelta(seconds=100)
        job = jobs.pause(session, job.id)
        job.paused_at = clock.utc_now() - timedelta(seconds=40)
        assert jobs.running_seconds(job, clock.utc_now()) == pytest.approx(60, abs=1)
        job = jobs.resume(session, job.id)
        later = clock.utc_now() + timedelta(seconds=5)
        assert jobs.running_seconds(job, later) == pytest.approx(65, abs=1)


def test_a_finished_job_runs_no_longer(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        jobs.cancel(session, job.id)
        jobs.move(session, job, JobState.CANCELLED)
        later = clock.utc_now() + timedelta(hours=1)
        assert jobs.running_seconds(job, later) < 60


def test_the_phase_is_an_event(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        jobs.set_phase(session, job, Phase.FINISH)
        newest = events.after(session, job.id, 0)[-1]
        assert (job.phase, newest.type, newest.data) == ("finish", "job.phase", {"phase": "finish"})


def test_active_jobs_are_the_unfinished_ones_oldest_first(database):
    with database.write() as session:
        first, second = factories.job(session), factories.job(session, running=True)
        finished(session)
        assert [job.id for job in jobs.active(session)] == [first.id, second.id]


def test_trials_are_counted_by_state(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)
        empty = factories.job(session)
        factories.must_claim(session)
        counts = jobs.counts(session, [job.id, empty.id, "nothing"])
    assert set(counts) == {job.id, empty.id}
    assert (counts[job.id].waiting, counts[job.id].running, counts[job.id].complete) == (1, 1, 1)
    assert (counts[job.id].total, counts[empty.id].total) == (3, 0)
