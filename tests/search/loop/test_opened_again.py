"""More budget opens a search that is over: it goes on where it stood, and ends as any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from featherweight.specs.jobs.editing import JobChanges
from featherweight.specs.states import JobState, StopReason
from search.loop.searcher import Searcher
from store.database import clock
from store.errors import BudgetLowered, NotOpenedAgain
from store.jobs import editing, events, jobs
from store.session import Database
from tests import factories
from tests.search import simulated

SMALL = {"budget": {"trials": 8, "parallel_trials": 2}, "finish": {"trials": 2, "finalists": 2}}


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def edit(database: Database, job_id: str, **budget: Any) -> dict[str, Any]:
    changes = JobChanges.model_validate({"budget": budget})
    with database.write() as session:
        return editing.edit(session, jobs.lock(session, job_id), changes)


@pytest.mark.parametrize("is_new_searcher", [False, True])
def test_a_search_that_is_over_goes_on_with_what_is_new(
    database: Database, searcher: Searcher, study_url: str, is_new_searcher: bool
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher)
    before = simulated.candidates(database, job_id)
    running = jobs.running_seconds(simulated.job(database, job_id), clock.utc_now())

    assert edit(database, job_id, trials=12)["opened"]
    assert simulated.job(database, job_id).state == JobState.RUNNING
    if is_new_searcher:
        searcher.close()
        searcher = Searcher(database, study_url, simulated.settings())
    simulated.run(database, searcher)

    job, after = simulated.job(database, job_id), simulated.candidates(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert after[: len(before)] == before
    phases = Counter(phase for _, phase, *_ in after)
    assert (phases["baseline"], phases["search"]) == (1, 12 - 1 - 2)
    assert 2 <= phases["finish"] <= 4
    searched = [digest for _, phase, _, digest, _ in after if phase != "finish"]
    assert len(set(searched)) == len(searched)
    # The time since its first end is none in which it ran.
    assert jobs.running_seconds(job, clock.utc_now()) < running + 60
    if is_new_searcher:
        searcher.close()


def test_a_job_in_its_last_phase_searches_again(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(
        database, searcher, until=lambda: simulated.job(database, job_id).phase == "finish"
    )
    assert edit(database, job_id, trials=9)["opened"]
    simulated.run(database, searcher)
    phases = Counter(phase for _, phase, *_ in simulated.candidates(database, job_id))
    assert simulated.is_finished(database, job_id)
    assert phases["search"] == 9 - 1 - 2


def test_a_search_that_runs_gets_more_without_a_break(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: len(simulated.rows(database, job_id)) > 3)
    assert "opened" not in edit(database, job_id, trials=10, seconds=None)
    simulated.run(database, searcher)
    assert len(simulated.rows(database, job_id)) == 10


def test_a_budget_is_not_lowered_and_a_limit_of_time_is_not_put_on(database: Database) -> None:
    job_id = simulated.submit(database, **SMALL)
    for wrong in ({"trials": 7}, {"seconds": 3600.0}, {"epochs": 1_000_000}):
        with pytest.raises(BudgetLowered, match="can only be raised"):
            edit(database, job_id, **wrong)
    assert edit(database, job_id, trials=8) == {}
    assert simulated.spec(database, job_id).budget.trials == 8


def test_a_job_that_could_not_search_is_not_opened(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    with database.write() as session:
        jobs.cancel(session, job_id)
    with pytest.raises(NotOpenedAgain, match="is stopping"):
        edit(database, job_id, trials=20)
    simulated.run(database, searcher)
    with pytest.raises(NotOpenedAgain, match="ended before its search"):
        edit(database, job_id, trials=20)
    assert simulated.job(database, job_id).state == JobState.CANCELLED


def test_time_that_is_over_must_be_raised_too(database: Database, searcher: Searcher) -> None:
    budget = {"trials": 8, "parallel_trials": 2, "seconds": 1e-6}
    job_id = simulated.submit(database, budget=budget, finish={"trials": 0})
    with database.write() as session:
        assert jobs.get(session, job_id).state == JobState.QUEUED
    simulated.run(database, searcher)
    assert simulated.is_finished(database, job_id)
    with database.read() as session:
        last = jobs.get(session, job_id).last_event
    with pytest.raises(NotOpenedAgain, match="raise them, too"):
        edit(database, job_id, trials=20)
    with database.read() as session:
        assert jobs.get(session, job_id).last_event == last
        assert events.heads(session, [job_id])[job_id].is_last


def test_jobs_of_an_owner_get_workers_by_priority_and_owners_equal_shares(
    database: Database,
) -> None:
    with database.write() as session:
        made = {
            name: factories.searching_job(session, waiting=0, name=name, owner=owner).id
            for name, owner in (("old", "alice"), ("urgent", "alice"), ("other", "bob"))
        }
        for job_id in made.values():
            for _ in range(4):
                factories.trial(session, jobs.get(session, job_id))
        urgent = jobs.lock(session, made["urgent"])
        editing.edit(session, urgent, JobChanges(priority=7))
    claimed = []
    for number in range(4):
        with database.write() as session:
            claimed.append(factories.must_claim(session, f"w{number}").job)
    names = {id: name for name, id in made.items()}
    assert [names[one] for one in claimed] == ["urgent", "other", "urgent", "other"]
