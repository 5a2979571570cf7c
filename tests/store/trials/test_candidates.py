"""Proposed candidates: an exact budget, an order, and each of them once."""

import pytest

from compress.techniques.candidate import Candidate
from featherweight.specs.states import JobState, Phase, StopReason
from store.errors import BudgetExhausted, CandidatesWait, IdempotencyConflict, NotRunning
from store.jobs import events, jobs, warm_starts
from store.trials import candidates, trials
from store.trials.candidates import ProposedCandidate
from tests import factories

PARAMS = {"filter_pruning.ratios.0": 0.5, "filter_pruning.ratios.1": 0.5}


def proposed(ratio=0.5, **changes):
    return ProposedCandidate(candidate=factories.candidate(ratio), **changes)


def add(session, job, ratio=0.5, **changes):
    return candidates.add(session, job, proposed(ratio, **changes), origin=candidates.USER)


def test_candidates_wait_in_their_order_and_are_events(database):
    with database.write() as session:
        job = factories.job(session)
        add(session, job, 0.5, params=PARAMS)
        candidates.add(session, job, proposed(0.3, note="from job 1"), origin=candidates.WARM)
    with database.read() as session:
        first, second = candidates.waiting(session, job.id)
        newest = events.after(session, job.id, 0)[-1]
    assert (first.number, first.origin, first.params) == (0, "user", PARAMS)
    assert (second.number, second.origin, second.params) == (1, "warm", None)
    assert second.note == "from job 1"
    assert Candidate.model_validate(first.candidate) == factories.candidate(0.5)
    assert newest.type == "candidate.proposed"
    assert newest.data == {
        "candidate": second.id,
        "description": "prune 0.3/0.3 + w8a8",
        "origin": "warm",
    }


def test_no_more_are_taken_than_the_search_has_trials_left(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)  # of 4 search trials
        assert candidates.room(session, job) == 2
        add(session, job, 0.5)
        add(session, job, 0.4)
        with pytest.raises(BudgetExhausted, match="all 4 search trials"):
            add(session, job, 0.3)
        assert candidates.room(session, job) == 0


def test_one_that_is_tried_is_not_counted_twice(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        record = add(session, job, 0.5)
        trial = factories.trial(session, job, candidate=factories.candidate(0.5))
        assert candidates.room(session, job) == 2
        candidates.is_tried_by(session, job, record.id, trial.id)
        assert candidates.room(session, job) == 3
        assert not candidates.any_waiting(session, job.id)


def test_a_rerun_takes_nobodys_room(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=1)
        room = candidates.room(session, job)
        trials.rerun(session, trials.of_job(session, job.id)[1].id, seed=9)
        assert candidates.room(session, job) == room


def test_a_candidate_is_found_where_the_job_has_it(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        trial = factories.trial(session, job, candidate=factories.candidate(0.3))
        record = add(session, job, 0.5)
        digest = factories.candidate(0.3).digest()
        assert candidates.find(session, job.id, digest).trial == trial
        found = candidates.find(session, job.id, factories.candidate(0.5).digest())
        assert (found.record, found.trial) == (record, None)
        candidates.is_tried_by(session, job, record.id, trial.id)
        assert candidates.find(session, job.id, record.candidate_digest).trial == trial
        nowhere = candidates.find(session, job.id, factories.candidate(0.1).digest())
        assert (nowhere.record, nowhere.trial) == (None, None)


def test_a_finish_trial_of_the_same_candidate_does_not_count_as_having_it(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        factories.trial(session, job, phase=Phase.FINISH, candidate=factories.candidate(0.5))
        assert candidates.find(session, job.id, factories.candidate(0.5).digest()).trial is None


def test_a_key_means_one_body_of_one_job(database):
    with database.write() as session:
        job, other = factories.job(session), factories.job(session)
        post = {"key": "k", "body_sha256": "a" * 64}
        assert candidates.begin_post(session, job, **post)
        assert not candidates.begin_post(session, job, **post)
        assert candidates.begin_post(session, other, **post)
        with pytest.raises(IdempotencyConflict, match="'k'"):
            candidates.begin_post(session, job, key="k", body_sha256="b" * 64)


def test_a_sampler_has_to_wait_for_what_was_proposed(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=0)
        candidates.check_none_waits(session, job)
        add(session, job)
        with pytest.raises(CandidatesWait):
            candidates.check_none_waits(session, job)


def test_what_is_dropped_says_why_and_waits_no_more(database):
    with database.write() as session:
        job = factories.job(session)
        record = add(session, job)
        assert candidates.drop_waiting(session, job, "budget_seconds") == 1
        assert candidates.drop_waiting(session, job, "cancelled") == 0
        assert record.dropped == "budget_seconds"
        assert candidates.waiting(session, job.id) == []


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_a_job_is_open_until_its_search_is_over(database, state):
    with database.write() as session:
        job = factories.job(session, running=state != "queued")
        if state == "paused":
            jobs.pause(session, job.id)
        candidates.check_open(job)
        assert job.state == state
        job.phase = Phase.FINISH
        with pytest.raises(NotRunning, match="search of job"):
            candidates.check_open(job)


def test_a_job_that_stops_or_has_stopped_is_closed(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        jobs.move(session, job, JobState.STOPPING, reason=StopReason.CANCELLED)
        with pytest.raises(NotRunning, match="is stopping"):
            candidates.check_open(job)
        jobs.move(session, job, JobState.CANCELLED)
        with pytest.raises(NotRunning, match="is cancelled"):
            candidates.check_open(job)


def test_they_are_listed_page_by_page(database):
    with database.write() as session:
        job = factories.job(session)
        for ratio in (0.1, 0.2, 0.3):
            add(session, job, ratio)
        first, cursor = candidates.page(session, job.id, limit=2)
        rest, end = candidates.page(session, job.id, limit=2, cursor=cursor)
    assert [record.number for record in (*first, *rest)] == [0, 1, 2]
    assert end is None


def test_a_job_remembers_which_jobs_it_starts_from(database):
    with database.write() as session:
        one, two, job = (factories.job(session) for _ in range(3))
        warm_starts.add_sources(session, job, [(two.id, True), (one.id, False)])
    with database.read() as session:
        found = [(row.source_id, row.is_history) for row in warm_starts.sources(session, job.id)]
        assert warm_starts.sources(session, one.id) == []
    assert found == [(two.id, True), (one.id, False)]


def test_only_finished_jobs_with_a_baseline_can_be_found(database):
    with database.write() as session:
        measured = factories.searching_job(session, waiting=0)
        factories.job(session)
        assert warm_starts.finished(session) == []
        for job in (measured, factories.job(session, running=True)):
            jobs.cancel(session, job.id)
            jobs.move(session, job, JobState.CANCELLED)
        assert [job.id for job in warm_starts.finished(session)] == [measured.id]


def test_a_worker_gets_the_baselines_file_once_there_is_one(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        first = factories.must_claim(session)
        assert first.baseline_file is None
        factories.deliver(session, first, measured=factories.measurement(latency_ms=3.0))
        factories.trial(session, job)
        given = factories.must_claim(session).baseline_file
        assert given is not None
        assert (given.sha256, given.latency_ms) == (
            trials.of_job(session, job.id)[0].file_sha256,
            3.0,
        )
