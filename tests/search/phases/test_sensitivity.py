"""The phase in which a job's model is probed, and reuse by the next job, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from compress.sensitivity.document import ProfileDocument
from compress.techniques.candidate import Candidate
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import JobState, Phase, StopReason, TrialState
from search.loop.searcher import Searcher
from search.study import rebuild
from store.attempts import attempts, profiles
from store.jobs import jobs
from store.session import Database
from store.trials import trials
from tests import factories
from tests.search import simulated

PROFILED = factories.PROFILED


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def at_profile(database: Database, searcher: Searcher, **changes: Any) -> str:
    """A job whose model waits to be probed."""
    job_id = simulated.submit(database, **(PROFILED | changes))
    simulated.settle(searcher)
    assert simulated.work_once(database)
    simulated.settle(searcher)
    return job_id


def of_uploaded(database: Database, name: str = "network", **changes: Any) -> str:
    """A job on an uploaded model, which is made if it is not there."""
    with database.write() as session:
        found = factories.models.named(session, name) or factories.model(session, name)
        return factories.job(session, model=found, **(PROFILED | changes)).id


def is_profile(assignment: Assignment) -> bool:
    return assignment.phase is Phase.PROFILE


def test_a_job_probes_its_model_between_baseline_and_search_with_exactly_its_budget(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **PROFILED)
    simulated.run(database, searcher)
    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    phases = ["baseline", "profile"] + ["search"] * 6 + ["finish"]
    assert [row.phase for row in rows] == phases
    assert all(row.told for row in rows)
    assert (rows[1].origin, rows[1].rungs, rows[1].candidate) == ("profile", [0], {"steps": []})
    assert job.profile_sha256 is not None


def test_the_worker_is_told_how_long_and_on_what_to_probe(
    database: Database, searcher: Searcher
) -> None:
    budget = PROFILED["budget"] | {"seconds": 50.0}
    profile = {"share": 0.2, "images": 64}
    job_id = at_profile(database, searcher, budget=budget, profile=profile)
    with database.write() as session:
        task = factories.must_claim(session).profile_task
        baseline = trials.of_job(session, job_id)[0]
    assert task is not None
    assert (task.images, task.allowed_seconds) == (64, 10.0)
    assert task.file == baseline.file_sha256
    assert task.baseline.size_bytes == simulated.BASELINE_BYTES


def test_without_seconds_in_the_budget_the_cap_is_a_share_of_the_baselines_training(
    database: Database, searcher: Searcher
) -> None:
    simulated.submit(database, **PROFILED)
    simulated.settle(searcher)
    measured = factories.measurement(seconds={"train": 30.0, "export": 1.0})
    with database.write() as session:
        factories.deliver(session, factories.must_claim(session), measured=measured)
    simulated.settle(searcher)
    with database.write() as session:
        task = factories.must_claim(session).profile_task
    assert task is not None
    assert task.allowed_seconds == pytest.approx(3.0)


def test_nothing_is_searched_before_the_model_is_probed(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_profile(database, searcher)
    assert simulated.job(database, job_id).phase == Phase.PROFILE
    assert simulated.settle(searcher) is False
    simulated.work_once(database)
    simulated.settle(searcher)
    assert simulated.job(database, job_id).phase == Phase.SEARCH


def test_the_study_opens_with_controls_and_then_with_what_the_profile_says(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **(PROFILED | {"budget": {"trials": 18}}))
    simulated.run(database, searcher)
    rows = [row for row in simulated.rows(database, job_id) if row.phase == Phase.SEARCH]
    origins = [row.origin for row in rows]
    given = [origin for origin in origins if origin != "sampler"]
    assert origins[: len(given)] == given
    assert 1 < given.count("allocation") <= 5
    assert given == ["control"] * given.count("control") + ["allocation"] * given.count(
        "allocation"
    )
    assert all(set(row.params) == set(rows[0].params) for row in rows)
    assert len({row.candidate_digest for row in rows}) == len(rows)


def test_candidates_of_allocation_knobs_are_concrete_ones(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **PROFILED)
    simulated.run(database, searcher)
    rows = [row for row in simulated.rows(database, job_id) if row.origin == "allocation"]
    assert rows
    for row in rows:
        assert sorted(row.params) == [
            "allocation.bytes",
            "allocation.pruning",
            "allocation.sharpness",
        ]
        names = {step.technique for step in Candidate.model_validate(row.candidate).steps}
        assert "quantization" in names


def test_without_allocate_the_search_has_its_usual_knobs_and_the_same_opening(
    database: Database, searcher: Searcher
) -> None:
    changes = {"profile": {"allocate": False}, "budget": {"trials": 15, "parallel_trials": 2}}
    job_id = simulated.submit(database, **(PROFILED | changes))
    simulated.run(database, searcher)
    rows = [row for row in simulated.rows(database, job_id) if row.origin == "allocation"]
    assert rows
    assert set(rows[0].params) == {
        "filter_pruning.ratios.0",
        "filter_pruning.ratios.1",
        "quantization.weight_bits",
    }


def test_the_next_job_on_the_same_model_and_data_does_without_the_trial(
    database: Database, searcher: Searcher
) -> None:
    first = of_uploaded(database, name="network")
    simulated.run(database, searcher)
    second = of_uploaded(database, name="network")
    simulated.run(database, searcher)
    one, two = simulated.job(database, first), simulated.job(database, second)
    assert two.profile_sha256 == one.profile_sha256
    assert two.state == JobState.SUCCEEDED
    rows = simulated.rows(database, second)
    assert [row.phase for row in rows] == ["baseline"] + ["search"] * 6 + ["finish"]
    searched = [row.candidate_digest for row in rows if row.phase == Phase.SEARCH]
    before = [r.candidate_digest for r in simulated.rows(database, first) if r.phase == "search"]
    assert searched == before


@pytest.mark.parametrize(
    ("changes", "is_reused"),
    [
        ({}, True),
        ({"images": 60}, True),
        ({"images": 70}, True),
        ({"images": 75}, False),
    ],
)
def test_a_profile_on_fewer_images_is_not_enough(
    database: Database, searcher: Searcher, changes: dict[str, Any], is_reused: bool
) -> None:
    of_uploaded(database, profile={"images": 70})
    simulated.run(database, searcher)
    second = of_uploaded(database, profile={"images": 70} | changes)
    simulated.run(database, searcher)
    phases = [row.phase for row in simulated.rows(database, second)]
    assert ("profile" not in phases) is is_reused


def test_a_profile_of_other_data_or_another_model_is_not_reused(
    database: Database, searcher: Searcher
) -> None:
    of_uploaded(database)
    simulated.run(database, searcher)
    for changes in ({"name": "another"}, {"data": "letters"}):
        job_id = of_uploaded(database, **changes)
        simulated.run(database, searcher)
        assert "profile" in [row.phase for row in simulated.rows(database, job_id)]


@pytest.mark.parametrize(("seconds", "is_reused"), [(100.0, True), (1000.0, False)])
def test_a_profile_that_was_cut_short_is_only_reused_where_there_is_no_more_time(
    database: Database, searcher: Searcher, seconds: float, is_reused: bool
) -> None:
    budget = PROFILED["budget"] | {"seconds": 100.0}
    of_uploaded(database, budget=budget)
    simulated.settle(searcher)
    simulated.work_once(database)
    simulated.settle(searcher)
    with database.write() as session:
        mine = factories.must_claim(session)
        cut = factories.profile_of(mine, probes=9)
        report = factories.report_of(session, mine)
        files = (report.files[0], factories.profile_file(session, cut))
        what = report.model_copy(update={"profile": cut, "files": files})
        attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    simulated.run(database, searcher)
    second = of_uploaded(database, budget=budget | {"seconds": seconds})
    simulated.run(database, searcher)
    phases = [row.phase for row in simulated.rows(database, second)]
    assert ("profile" not in phases) is is_reused


def test_a_job_keeps_the_profile_that_its_search_began_on(
    database: Database, searcher: Searcher
) -> None:
    first = of_uploaded(database, profile={"images": 40})
    simulated.run(database, searcher)
    before = simulated.job(database, first).profile_sha256
    of_uploaded(database, profile={"images": 80})
    simulated.run(database, searcher)
    with database.read() as session:
        kept = profiles.of_job(session, jobs.get(session, first))
    assert isinstance(kept, ProfileDocument)
    assert (kept.digest(), kept.images) == (before, 40)


def test_a_failed_profile_fails_the_job_and_keeps_the_reason(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **PROFILED)
    simulated.run(database, searcher, fails_on=is_profile)
    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.PROFILE_FAILED)
    assert "loss is NaN" in job.stop_detail
    assert job.profile_sha256 is None


def test_a_profile_of_other_layers_ends_the_job_with_the_way_out(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_profile(database, searcher)
    with database.write() as session:
        mine = factories.must_claim(session)
        own = factories.profile_of(mine)
        odd = own.model_copy(update={"layers": own.layers[1:]})
        report = factories.report_of(session, mine)
        files = (report.files[0], factories.profile_file(session, odd))
        what = report.model_copy(update={"profile": odd, "files": files})
        attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    simulated.settle(searcher)
    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.NOTHING_SUCCEEDED)
    assert "start the job again without profile" in job.stop_detail


def test_a_job_that_is_cancelled_while_its_model_is_probed_ends_cancelled(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_profile(database, searcher)
    with database.write() as session:
        running = factories.must_claim(session)
        jobs.cancel(session, job_id)
    simulated.settle(searcher)
    with database.write() as session:
        attempts.release(session, running.attempt, running.token)
    simulated.settle(searcher)
    assert simulated.job(database, job_id).state == JobState.CANCELLED
    assert all(TrialState(row.state).is_finished for row in simulated.rows(database, job_id))


def test_a_rerun_of_probing_is_no_trial_of_the_budget_and_changes_no_profile(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_profile(database, searcher)
    simulated.work_once(database)
    simulated.settle(searcher)
    before = simulated.job(database, job_id).profile_sha256
    with database.write() as session:
        trials.rerun(session, simulated.rows(database, job_id)[1].id, seed=7)
    simulated.run(database, searcher)
    job = simulated.job(database, job_id)
    assert (job.state, job.profile_sha256) == (JobState.SUCCEEDED, before)
    assert len(simulated.rows(database, job_id)) == 10


def test_a_study_that_is_made_again_has_the_same_points(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database, **PROFILED)
    with closing(Searcher(database, study_url, simulated.settings())) as first:
        simulated.run(database, first, until=lambda: len(simulated.rows(database, job_id)) >= 6)
    assert rebuild(database, study_url, job_id) > 0
    with closing(Searcher(database, study_url, simulated.settings())) as second:
        simulated.run(database, second)
    other = simulated.submit(database, **PROFILED)
    with closing(Searcher(database, study_url, simulated.settings())) as calm:
        simulated.run(database, calm)
    mine = [row[3] for row in simulated.candidates(database, job_id) if row[1] == "search"]
    theirs = [row[3] for row in simulated.candidates(database, other) if row[1] == "search"]
    assert mine == theirs
