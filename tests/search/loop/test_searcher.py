"""The searcher with the real store and the real Optuna, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from compress.techniques.candidate import Candidate
from featherweight.specs.states import JobState, Phase, StopReason, TrialState
from search.loop.searcher import Searcher
from search.phases import transitions
from store.attempts import attempts
from store.database import clock
from store.jobs import jobs
from store.session import Database
from store.trials import trials
from tests import factories
from tests.search import simulated

SMALL = {"budget": {"trials": 12, "parallel_trials": 2}, "finish": {"trials": 3, "finalists": 2}}


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def test_a_job_runs_through_its_phases_with_exactly_its_budget(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher)

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert [row.phase for row in rows] == ["baseline"] + ["search"] * 8 + ["finish"] * 3
    assert [row.number for row in rows] == list(range(12))
    assert all(row.told for row in rows)
    assert {row.origin for row in rows[1:3]} == {"control"}
    assert {row.seed for row in rows[:9]} == {0}
    assert rows[0].splits == ["validation", "test"]
    assert rows[1].splits == ["validation"]


def test_the_finish_phase_retrains_the_finalists_in_turn_with_new_seeds(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher)

    first, second, third = simulated.rows(database, job_id)[-3:]
    assert first.candidate_digest == third.candidate_digest != second.candidate_digest
    assert [row.seed for row in (first, second, third)] == [1000, 1000, 1001]
    assert {tuple(row.rungs) for row in (first, second, third)} == {(2,)}
    assert first.splits == ["validation", "test"]


def test_no_candidate_is_ever_searched_twice(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(
        database,
        techniques={"quantization": {}, "filter_pruning": {"ratios": [0.0, 0.25, 0.5]}},
        budget={"trials": 12, "parallel_trials": 2},
        finish={"trials": 0},
        sampler="random",
    )
    simulated.run(database, searcher)

    digests = [row.candidate_digest for row in simulated.rows(database, job_id)]
    assert len(digests) == len(set(digests)) == 12


def test_a_space_that_is_used_up_ends_the_search_early_and_says_so(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        techniques={"quantization": {}},
        budget={"trials": 10, "parallel_trials": 2},
        finish={"trials": 1, "finalists": 1},
    )
    simulated.run(database, searcher)

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert job.state == JobState.SUCCEEDED
    assert [row.phase for row in rows] == ["baseline", "search", "search", "finish"]
    assert "no further candidate" in job.stop_detail


def test_enough_trials_wait_that_no_worker_has_to(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, budget={"trials": 20, "parallel_trials": 3})
    simulated.run(database, searcher, until=lambda: len(simulated.rows(database, job_id)) > 1)

    waiting = [r for r in simulated.rows(database, job_id) if r.state == TrialState.WAITING]
    assert len(waiting) == 3 + 2
    assert not searcher.step()


@pytest.mark.parametrize("turns", [0, 1, 4, 8])
def test_a_cancelled_job_ends_cancelled_in_every_phase(
    database: Database, searcher: Searcher, turns: int
) -> None:
    budget = {"trials": 9, "parallel_trials": 2}
    job_id = simulated.submit(database, budget=budget, finish={"trials": 2, "finalists": 1})
    simulated.settle(searcher)
    for _ in range(turns):
        simulated.work_once(database)
        simulated.settle(searcher)
    with database.write() as session:
        running = factories.must_claim(session) if turns < 8 else None
        jobs.cancel(session, job_id)
    simulated.settle(searcher)
    if running is not None:
        assert simulated.job(database, job_id).state == JobState.STOPPING
        with database.write() as session:
            attempts.release(session, running.attempt, running.token)
        simulated.settle(searcher)

    assert simulated.job(database, job_id).state == JobState.CANCELLED
    assert all(TrialState(r.state).is_finished for r in simulated.rows(database, job_id))
    assert all(row.told for row in simulated.rows(database, job_id))


def test_a_failed_baseline_fails_the_job_and_keeps_the_reason(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database)
    simulated.run(database, searcher, fails_on=lambda assignment: assignment.number == 0)

    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.BASELINE_FAILED)
    assert "loss is NaN" in job.stop_detail


def test_failing_candidates_do_not_end_the_job(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, fails_on=lambda assignment: assignment.number % 2 == 1)

    rows = simulated.rows(database, job_id)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert len(rows) == 12
    assert [r.number for r in rows if r.state == TrialState.FAILED] == [1, 3, 5, 7, 9, 11]


def test_a_job_whose_every_candidate_fails_has_failed(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database)
    simulated.run(database, searcher, fails_on=lambda assignment: assignment.number > 0)

    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.NOTHING_SUCCEEDED)
    assert "loss is NaN" in job.stop_detail
    assert len(simulated.rows(database, job_id)) == 5


def test_where_nothing_is_feasible_the_nearest_candidates_are_finished(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, constraints=["accuracy >= baseline + 4 points"], **SMALL)
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    searched = [row for row in rows if row.phase == Phase.SEARCH and row.violation is not None]
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert all(row.violation > 0 for row in searched)
    nearest = min(searched, key=lambda row: row.violation)
    assert rows[-3].candidate_digest == nearest.candidate_digest


def test_when_the_seconds_are_over_waiting_trials_stop_and_finalists_still_run(
    database: Database, study_url: str
) -> None:
    late = clock.utc_now() + timedelta(hours=1)
    changes = {"budget": {"trials": 20, "seconds": 600}, "finish": {"trials": 2, "finalists": 1}}
    job_id = simulated.submit(database, **changes)
    with closing(Searcher(database, study_url, simulated.settings())) as early:
        simulated.run(database, early, until=lambda: simulated.num_rungs(database, job_id) > 6)
    with closing(Searcher(database, study_url, simulated.settings(), now=lambda: late)) as slow:
        simulated.run(database, slow)

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    stopped = [row for row in rows if row.reason == transitions.BUDGET_SECONDS]
    assert (job.state, job.stop_detail) == (JobState.SUCCEEDED, transitions.BUDGET_SECONDS)
    assert stopped
    assert all(row.state == TrialState.STOPPED and row.measurement is None for row in stopped)
    assert [row.state for row in rows if row.phase == Phase.FINISH] == ["complete"] * 2


def test_a_paused_job_gets_no_new_trials_and_goes_on_when_resumed(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    with database.write() as session:
        running = factories.must_claim(session)
        jobs.pause(session, job_id)
    before = len(simulated.rows(database, job_id))
    simulated.climb(database, running)
    with database.write() as session:
        attempts.complete(session, running.attempt, running.token)
    simulated.settle(searcher)

    assert len(simulated.rows(database, job_id)) == before
    with database.write() as session:
        jobs.resume(session, job_id)
    simulated.run(database, searcher)
    assert len(simulated.rows(database, job_id)) == 12


def test_a_second_searcher_does_nothing_until_the_first_is_gone(
    database: Database, searcher: Searcher, study_url: str
) -> None:
    simulated.submit(database)
    assert searcher.step()
    with closing(Searcher(database, study_url, simulated.settings())) as other:
        simulated.work_once(database)
        assert not other.step()
        searcher.close()
        assert other.step()


def test_reruns_come_on_top_and_the_job_waits_for_them(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 4)
    done = next(r for r in simulated.rows(database, job_id) if r.number and r.finished_at)
    with database.write() as session:
        trials.rerun(session, done.id, seed=77)
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert len(rows) == 13
    assert [row.state for row in rows if row.origin == trials.RERUN] != ["waiting"]
    assert simulated.is_finished(database, job_id)


def test_an_uploaded_model_is_searched_with_its_own_architecture(
    database: Database, searcher: Searcher
) -> None:
    with database.write() as session:
        model = factories.model(session)
        job_id = factories.job(session, model=model, **SMALL).id
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert len(rows) == 12
    assert rows[0].splits == ["validation", "test", "train"]
    assert {tuple(row.splits) for row in rows[-3:]} == {("validation", "test")}
    assert set(rows[1].params) == {
        "filter_pruning.ratios.0",
        "filter_pruning.ratios.1",
        "quantization.weight_bits",
    }


def test_a_job_whose_space_cannot_be_built_ends_with_the_reason(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, techniques={"family_member": {"depth": [1, 9]}})
    simulated.run(database, searcher)

    job = simulated.job(database, job_id)
    assert job.state == JobState.FAILED
    assert "family_member.depth asks for 9 blocks" in job.stop_detail


def test_a_lost_worker_is_replaced_within_the_job(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    with database.write() as session:
        lost = factories.must_claim(session, "gone", lease_seconds=factories.OVER)
    with database.write() as session:
        assert attempts.reap(session) == 1
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert simulated.is_finished(database, job_id)
    assert len(rows) == 12
    assert rows[lost.number].num_attempts == 2


def test_two_jobs_run_side_by_side(database: Database, searcher: Searcher) -> None:
    jobs_ = [simulated.submit(database, name=f"job{n}", **SMALL) for n in range(2)]
    simulated.run(database, searcher)

    assert [len(simulated.rows(database, job_id)) for job_id in jobs_] == [12, 12]
    assert all(simulated.is_finished(database, job_id) for job_id in jobs_)


def test_the_uncompressed_network_is_never_searched(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(
        database,
        techniques={"filter_pruning": {"ratios": [0.0, 0.5]}},
        budget={"trials": 8, "parallel_trials": 2},
    )
    simulated.run(database, searcher)

    searched = [r for r in simulated.rows(database, job_id) if r.phase == Phase.SEARCH]
    assert len(searched) == 3
    assert Candidate().digest() not in {row.candidate_digest for row in searched}
