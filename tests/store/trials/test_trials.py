"""Trials: an exact budget, no candidate twice, and what the searcher has told its study."""

import threading

import pytest

from compress.techniques.candidate import Candidate
from compress.values.revision import ENGINE_REVISION, FIRST_REVISION
from featherweight.specs.states import Phase, TrialState
from store.attempts import views
from store.errors import (
    BudgetExhausted,
    DuplicateCandidate,
    NotRunning,
    StoreError,
    TrialNotFound,
)
from store.jobs import events, jobs
from store.trials import trials
from tests import factories


def test_trials_are_numbered_from_zero(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        assert [factories.trial(session, job).number for _ in range(3)] == [0, 1, 2]


def test_a_new_trial_is_an_event(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        trial = factories.trial(session, job, candidate=factories.candidate(0.5))
        newest = events.after(session, job.id, 0)[-1]
    assert newest.type == "trial.created"
    assert newest.data == {
        "trial": trial.id,
        "number": 0,
        "description": "prune 0.5/0.5 + w8a8",
        "phase": "search",
        "origin": "sampler",
    }


def test_the_budget_is_exact_under_concurrent_creates(database):
    with database.write() as session:
        job = factories.job(session, running=True, budget={"trials": 7})
    start, made, refused = threading.Barrier(4), [], []

    def create(worker):
        start.wait()
        for i in range(4):
            try:
                with database.write() as session:
                    candidate = factories.candidate((worker * 4 + i) / 100)
                    made.append(factories.trial(session, job, candidate=candidate).number)
            except BudgetExhausted as error:
                refused.append(error)

    threads = [threading.Thread(target=create, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(7))
    assert len(refused) == 9


def test_the_same_candidate_at_once_is_made_once(database):
    with database.write() as session:
        job = factories.job(session, running=True)
    start, outcomes = threading.Barrier(4), []

    def create():
        start.wait()
        try:
            with database.write() as session:
                factories.trial(session, job, candidate=factories.candidate(0.5))
            outcomes.append("made")
        except DuplicateCandidate:
            outcomes.append("refused")

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]


def test_steps_without_effect_do_not_make_a_candidate_new(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.trial(session, job, candidate=Candidate())
        same = Candidate.model_validate({"steps": [{"technique": "distillation", "weight": 0}]})
        with pytest.raises(DuplicateCandidate, match="trial 0"):
            factories.trial(session, job, candidate=same)


def test_a_candidate_may_come_again_with_another_seed_or_in_another_phase(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        again = {"candidate": factories.candidate(0.5)}
        factories.trial(session, job, **again)
        factories.trial(session, job, **again, seed=1)
        factories.trial(session, job, **again, phase=Phase.FINISH)
        assert jobs.counts(session, [job.id])[job.id].total == 3


def test_a_refused_trial_leaves_nothing(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        factories.trial(session, job, candidate=factories.candidate(0.5))
        before = jobs.get(session, job.id).last_event
        with pytest.raises(DuplicateCandidate):
            factories.trial(session, job, candidate=factories.candidate(0.5))
    with database.read() as session:
        assert jobs.get(session, job.id).last_event == before
        assert len(trials.of_job(session, job.id)) == 1


def test_a_rerun_comes_on_top_of_the_budget(database):
    with database.write() as session:
        job = factories.job(
            session, running=True, budget={"trials": 2}, finish={"trials": 0, "finalists": 1}
        )
        first = factories.trial(session, job, params={"filter_pruning.ratios.0": 0.5})
        factories.trial(session, job)
        again = trials.rerun(session, first.id, seed=5)
        assert (again.number, again.origin, again.seed) == (2, "rerun", 5)
        assert again.candidate_digest == first.candidate_digest
        assert again.params == {"filter_pruning.ratios.0": 0.5}
        with pytest.raises(BudgetExhausted):
            factories.trial(session, job)


def test_a_rerun_of_an_older_revision_says_so(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)
        for made_by in (FIRST_REVISION, ENGINE_REVISION):
            mine = factories.must_claim(session)
            measured = factories.measurement(engine_revision=made_by)
            factories.deliver(session, mine, measured=measured)
        _, old, new = trials.of_job(session, job.id)
        assert "made by revision 1 of the engine" in trials.rerun(session, old.id, seed=5).reason
        assert trials.rerun(session, new.id, seed=5).reason == ""
        assert views.trial(old).engine_revision == FIRST_REVISION
        told = [e.data for e in events.after(session, job.id, 0) if e.type == "trial.created"]
        assert any("made by revision 1" in one.get("reason", "") for one in told)


def test_a_rerun_needs_another_seed_and_a_job_that_runs(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        trial = factories.trial(session, job)
        with pytest.raises(DuplicateCandidate):
            trials.rerun(session, trial.id, seed=trial.seed)
        jobs.cancel(session, job.id)
        with pytest.raises(NotRunning):
            trials.rerun(session, trial.id, seed=9)


def test_a_rerun_does_not_hide_that_the_budget_has_room(database):
    with database.write() as session:
        job = factories.job(
            session, running=True, budget={"trials": 2}, finish={"trials": 0, "finalists": 1}
        )
        trial = factories.trial(session, job)
        trials.rerun(session, trial.id, seed=5)
        assert factories.trial(session, job).number == 2


def test_waiting_trials_of_one_phase_can_be_stopped(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=3)
        finish = factories.trial(session, job, phase=Phase.FINISH)
        factories.must_claim(session)
        assert trials.stop_waiting(session, job, "budget_seconds", phase=Phase.SEARCH) == 2
        states = [trial.state for trial in trials.of_job(session, job.id, phase=Phase.SEARCH)]
        assert states == [TrialState.RUNNING, TrialState.STOPPED, TrialState.STOPPED]
        assert trials.get(session, finish.id).state == TrialState.WAITING
        assert trials.of_job(session, job.id)[2].reason == "budget_seconds"
        assert trials.of_job(session, job.id)[2].measurement is None


def test_finished_trials_are_unreported_until_they_are_marked(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=2)
        baseline = trials.of_job(session, job.id)[0]
        assert [trial.id for trial in trials.unreported(session, job.id)] == [baseline.id]
        trials.mark_reported(session, job.id, [baseline.id])
        assert trials.unreported(session, job.id) == []
        mine = factories.must_claim(session)
        factories.deliver(session, mine)
        assert [trial.id for trial in trials.unreported(session, job.id)] == [mine.trial]


def test_the_studys_number_is_kept(database):
    with database.write() as session:
        job = factories.job(session, running=True)
        trial = factories.trial(session, job)
        trials.set_study_number(session, trial.id, 4)
    with database.read() as session:
        assert trials.get(session, trial.id).study_number == 4


@pytest.mark.parametrize(
    "look",
    [
        trials.get,
        lambda session, trial: trials.rerun(session, trial, seed=1),
        lambda session, trial: trials.set_study_number(session, trial, 1),
    ],
)
def test_an_unknown_trial_is_not_found(database, look):
    with pytest.raises(TrialNotFound), database.write() as session:
        look(session, "nothing")
    assert issubclass(TrialNotFound, StoreError)
