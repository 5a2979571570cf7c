"""The phase in which a job trains the weights that its members share, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from compress.network.supernet.config import Elastic
from compress.values.measurement import Measurement
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import JobState, Phase, StopReason, TrialState
from search.early_stopping import rule
from search.loop.searcher import Searcher
from store.attempts import attempts
from store.database import clock
from store.jobs import jobs
from store.session import Database
from store.trials import trials
from tests import factories
from tests.search import simulated

SHARED = factories.SHARED


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def phase_of(database: Database, job_id: str) -> str:
    return simulated.job(database, job_id).phase


def at_supernet(database: Database, searcher: Searcher, **changes: Any) -> str:
    """A job whose supernet waits to be trained."""
    job_id = simulated.submit(database, **(SHARED | changes))
    simulated.settle(searcher)
    assert simulated.work_once(database)
    simulated.settle(searcher)
    return job_id


def test_a_job_trains_its_supernet_between_baseline_and_search_with_exactly_its_budget(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SHARED)
    simulated.run(database, searcher)

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    phases = ["baseline", "supernet"] + ["search"] * 4 + ["finish"]
    assert [row.phase for row in rows] == phases
    assert [row.number for row in rows] == list(range(7))
    assert all(row.told for row in rows)
    assert job.elastic == Elastic(widths=(0.25, 0.5, 0.75, 1.0), depths=(1,)).model_dump(
        mode="json"
    )
    assert job.supernet_sha256 is not None


def test_the_supernets_trial_is_its_largest_member_at_every_checkpoint(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_supernet(database, searcher, supernet={"epochs": 20}, seed=5)
    [baseline, supernet] = simulated.rows(database, job_id)
    assert (supernet.origin, supernet.seed, supernet.state) == ("supernet", 5, "waiting")
    assert (supernet.rungs, supernet.splits) == ([3, 5, 8, 10, 13, 15, 18, 20], ["validation"])
    [step] = supernet.candidate["steps"]
    assert (step["technique"], step["width"], step["weights"]) == ("family_member", 1.0, "supernet")
    assert baseline.state == TrialState.COMPLETE


def test_nothing_is_searched_before_the_supernet_is_trained(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_supernet(database, searcher)
    assert phase_of(database, job_id) == Phase.SUPERNET
    with database.write() as session:
        mine = factories.must_claim(session)
        first = factories.report_of(session, mine, rung=0)
        attempts.report(session, mine.attempt, mine.token, first, decide=factories.climb)
    assert simulated.settle(searcher) is False
    assert len(simulated.rows(database, job_id)) == 2
    with database.write() as session:
        last = factories.report_of(session, mine, rung=1)
        attempts.report(session, mine.attempt, mine.token, last, decide=factories.climb)
    simulated.settle(searcher)
    assert phase_of(database, job_id) == Phase.SEARCH
    assert len(simulated.rows(database, job_id)) == 6


def test_members_of_the_search_take_their_slices_of_the_supernet(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SHARED)
    simulated.run(database, searcher)
    for row in simulated.rows(database, job_id)[2:]:
        assert row.candidate["steps"][0]["weights"] == "supernet"


def is_supernet(assignment: Assignment) -> bool:
    return assignment.phase is Phase.SUPERNET


def test_a_failed_supernet_fails_the_job_and_keeps_the_reason(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SHARED)
    simulated.run(database, searcher, fails_on=is_supernet)

    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.SUPERNET_FAILED)
    assert "loss is NaN" in job.stop_detail
    assert [row.phase for row in simulated.rows(database, job_id)] == ["baseline", "supernet"]
    assert job.supernet_sha256 is None


def test_a_supernet_of_which_no_epoch_can_be_trained_in_time_fails_the_job_and_says_so(
    database: Database, study_url: str
) -> None:
    times = [clock.utc_now()]

    def now() -> datetime:
        return times[-1]

    budget = {"trials": 7, "parallel_trials": 2, "seconds": 100}
    job_id = simulated.submit(database, **(SHARED | {"budget": budget}))
    with closing(Searcher(database, study_url, simulated.settings(), now=now)) as searcher:
        simulated.settle(searcher)
        measured = factories.measurement(train_images_per_second=10.0)
        with database.write() as session:
            factories.deliver(session, factories.must_claim(session), measured=measured)
        times.append(times[-1] + timedelta(seconds=95))
        simulated.settle(searcher)
    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.SUPERNET_FAILED)
    assert "one epoch takes about" in job.stop_detail
    assert [row.phase for row in simulated.rows(database, job_id)] == ["baseline"]


def test_a_job_whose_seconds_end_while_its_supernet_trains_keeps_its_weights_and_says_why(
    database: Database, study_url: str
) -> None:
    times = [clock.utc_now()]
    budget = {"trials": 7, "parallel_trials": 2, "seconds": 100}
    job_id = simulated.submit(database, **(SHARED | {"budget": budget}))
    settings = simulated.settings()
    with closing(Searcher(database, study_url, settings, now=lambda: times[-1])) as searcher:
        simulated.settle(searcher)
        simulated.work_once(database)
        simulated.settle(searcher)
        simulated.work_once(database)
        times.append(times[-1] + timedelta(seconds=200))
        simulated.settle(searcher)
    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.NOTHING_SUCCEEDED)
    assert "budget_seconds" in job.stop_detail
    assert job.supernet_sha256 is not None


def test_a_supernet_that_was_uploaded_needs_no_phase(
    database: Database, searcher: Searcher
) -> None:
    with database.write() as session:
        shared = factories.model(session, "shared")
        job_id = factories.job(session, shared=shared).id
    simulated.run(database, searcher)
    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert [row.phase for row in rows] == ["baseline"] + ["search"] * 5 + ["finish"]
    assert job.supernet_sha256 == shared.sha256


def test_a_job_that_is_cancelled_while_its_supernet_trains_ends_cancelled(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_supernet(database, searcher)
    with database.write() as session:
        running = factories.must_claim(session)
        jobs.cancel(session, job_id)
    simulated.settle(searcher)
    with database.write() as session:
        attempts.release(session, running.attempt, running.token)
    simulated.settle(searcher)
    assert simulated.job(database, job_id).state == JobState.CANCELLED
    assert all(TrialState(row.state).is_finished for row in simulated.rows(database, job_id))


def test_a_job_that_is_paused_while_its_supernet_trains_goes_on_where_it_was(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_supernet(database, searcher)
    with database.write() as session:
        jobs.pause(session, job_id)
    assert simulated.settle(searcher) is False
    assert simulated.work_once(database) is False
    with database.write() as session:
        jobs.resume(session, job_id)
    simulated.run(database, searcher)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert len(simulated.rows(database, job_id)) == 7


def test_a_rerun_of_the_supernet_is_no_trial_of_the_budget_and_changes_no_weights(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_supernet(database, searcher)
    simulated.work_once(database)
    simulated.settle(searcher)
    before = simulated.job(database, job_id).supernet_sha256
    with database.write() as session:
        again = trials.rerun(session, simulated.rows(database, job_id)[1].id, seed=7).id
    simulated.run(database, searcher)
    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert job.state == JobState.SUCCEEDED
    assert job.supernet_sha256 == before
    assert [row.state for row in rows if row.id == again] == [TrialState.COMPLETE]
    assert len(rows) == 8


def test_a_checkpoint_however_bad_never_stops_the_training_of_a_supernet(
    database: Database, searcher: Searcher
) -> None:
    changes = {"constraints": ["accuracy >= 80 %", "size_bytes <= 1 MB"]}
    job_id = at_supernet(database, searcher, **changes)
    bad: Measurement = factories.measurement(0.1, 2_000_000)
    with database.write() as session:
        mine = factories.must_claim(session)
        what = factories.report_of(session, mine, rung=0, measured=bad)
        decision = attempts.report(session, mine.attempt, mine.token, what, decide=rule.judge)
        assert (decision.stop, decision.reason) == (False, rule.CHECKPOINT)
        what = factories.report_of(session, mine, rung=1, measured=bad)
        decision = attempts.report(session, mine.attempt, mine.token, what, decide=rule.judge)
        assert (decision.stop, decision.reason) == (False, rule.LAST)
    simulated.settle(searcher)
    assert phase_of(database, job_id) == Phase.SEARCH
