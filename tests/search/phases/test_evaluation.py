"""The phase that measures the last front on test: once per file, outside of every budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from featherweight.specs.protocol import Assignment, Failure
from featherweight.specs.states import FailureClass, JobState, Phase, StopReason, TrialState
from search.early_stopping import rule
from search.loop.searcher import Searcher
from store.attempts import attempts, evaluations
from store.errors import FileMismatch
from store.jobs import jobs
from store.session import Database
from store.trials import rungs, trials
from tests import factories
from tests.search import simulated

SMALL: dict[str, Any] = {"budget": {"trials": 8}, "finish": {"trials": 1, "finalists": 1}}


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def at_test(database: Database, searcher: Searcher, **changes: Any) -> str:
    """A job whose front waits to be measured on test."""
    job_id = simulated.submit(database, **(SMALL | changes))
    phase = lambda: simulated.job(database, job_id).phase  # noqa: E731
    simulated.run(database, searcher, until=lambda: phase() == Phase.TEST)
    return job_id


def of_test(database: Database, job_id: str) -> list[Any]:
    return [row for row in simulated.all_rows(database, job_id) if row.phase == Phase.TEST]


def report(database: Database, mine: Assignment, rung: int) -> None:
    with database.write() as session:
        what = factories.evaluation_report(mine, rung=rung)
        attempts.report(session, mine.attempt, mine.token, what, decide=rule.judge)


def claim(database: Database, worker: str = "w") -> Assignment:
    with database.write() as session:
        return factories.must_claim(session, worker)


def figures(database: Database, job_id: str) -> set[str]:
    with database.read() as session:
        return set(evaluations.tested(rungs.of_job(session, job_id)))


def test_every_file_of_the_last_front_is_measured_once_on_top_of_the_budget(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_test(database, searcher)
    [waiting] = of_test(database, job_id)
    assert waiting.files
    assert (waiting.origin, waiting.state) == ("test", TrialState.WAITING)
    assert waiting.rungs == [0] * len(waiting.files)
    assert not figures(database, job_id) & set(waiting.files)
    simulated.run(database, searcher)
    job, rows = simulated.job(database, job_id), simulated.all_rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert [row.phase for row in rows[-2:]] == ["finish", "test"]
    assert len(rows) == job.budget_trials + 1
    assert set(waiting.files) <= figures(database, job_id)
    [done] = of_test(database, job_id)
    assert (done.state, done.reason, done.told) == (TrialState.COMPLETE, rule.MEASURED, True)


def test_the_search_never_hears_of_the_figures(database: Database, searcher: Searcher) -> None:
    job_id = at_test(database, searcher)
    before = simulated.candidates(database, job_id)
    simulated.run(database, searcher)
    assert simulated.candidates(database, job_id) == before
    with database.read() as session:
        spec = jobs.spec(jobs.get(session, job_id))
        searched = trials.of_job(session, job_id, phase=Phase.SEARCH)
    assert len(searched) == spec.search_trials
    assert all("test" not in row.measurement["accuracy"] for row in searched if row.measurement)


def test_without_a_test_split_nothing_is_measured(database: Database, searcher: Searcher) -> None:
    with database.write() as session:
        counts = {"train": (40, 40), "validation": (10, 10)}
        splits = {"train": 80, "validation": 20}
        factories.dataset(session, "letters", splits=splits, class_counts=counts)
    job_id = simulated.submit(database, data="letters", **SMALL)
    simulated.run(database, searcher)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert of_test(database, job_id) == []


def test_a_worker_that_dies_is_replaced_and_what_it_measured_stays(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_test(database, searcher)
    with database.write() as session:
        lost = factories.must_claim(session, "lost", lease_seconds=factories.OVER)
    assert lost.evaluation_task is not None
    assert len(lost.evaluation_task.files) > 1
    report(database, lost, 0)
    with database.write() as session:
        assert attempts.reap(session) == 1
    again = claim(database)
    assert (again.trial, again.first_rung) == (lost.trial, 1)
    assert again.evaluation_task == lost.evaluation_task
    with database.write() as session:
        factories.deliver(session, again)
    simulated.run(database, searcher)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    with database.read() as session:
        written = [r.file_sha256 for r in rungs.of_trial(session, lost.trial)]
    assert written == [file.sha256 for file in lost.evaluation_task.files]


def test_a_file_that_cannot_be_measured_keeps_no_other_from_it(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_test(database, searcher)
    mine = claim(database)
    assert mine.evaluation_task is not None
    wanted = [file.sha256 for file in mine.evaluation_task.files]
    failure = Failure(failure_class=FailureClass.NUMERICAL, message="NaN on test")
    with database.write() as session:
        attempts.fail(session, mine.attempt, mine.token, failure)
    simulated.run(database, searcher)
    job = simulated.job(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert [row.files for row in of_test(database, job_id)] == [wanted, wanted[1:]]
    assert set(wanted[1:]) <= figures(database, job_id)
    assert wanted[0] not in figures(database, job_id)


def test_a_report_of_another_file_or_without_test_is_refused(
    database: Database, searcher: Searcher
) -> None:
    at_test(database, searcher)
    mine = claim(database)
    good = factories.evaluation_report(mine)
    with database.write() as session:
        stored = factories.stored(session, size_bytes=good.measurement.size_bytes)
    other = good.files[0].model_copy(update={"sha256": stored.sha256})
    untested = good.measurement.model_copy(update={"accuracy": {"validation": 0.9}})
    for bad in ({"files": (other,)}, {"measurement": untested}):
        what = good.model_copy(update=bad)
        with database.write() as session, pytest.raises(FileMismatch):
            attempts.report(session, mine.attempt, mine.token, what, decide=rule.judge)


def test_a_cancelled_job_goes_without(database: Database, searcher: Searcher) -> None:
    job_id = at_test(database, searcher)
    with database.write() as session:
        jobs.cancel(session, job_id)
    simulated.settle(searcher)
    assert simulated.job(database, job_id).state == JobState.CANCELLED
    assert [row.state for row in of_test(database, job_id)] == [TrialState.STOPPED]


def test_a_rerun_meanwhile_is_measured_if_it_enters_the_front(
    database: Database, searcher: Searcher
) -> None:
    job_id = at_test(database, searcher)
    best = max(
        (row for row in simulated.all_rows(database, job_id) if row.phase == Phase.SEARCH),
        key=lambda row: (row.measurement or {})["accuracy"]["validation"],
    )
    with database.write() as session:
        mine = trials.rerun(session, best.id, seed=6)
        task = trials.rerun(session, of_test(database, job_id)[0].id, seed=1)
    simulated.run(database, searcher)
    job = simulated.job(database, job_id)
    assert job.state == JobState.SUCCEEDED
    rows = {row.id: row for row in simulated.all_rows(database, job_id)}
    assert rows[task.id].files == of_test(database, job_id)[0].files
    assert rows[mine.id].file_sha256 in figures(database, job_id)


def test_a_long_front_takes_several_trials(database: Database, searcher: Searcher) -> None:
    count = evaluations.MOST_FILES + 2
    with database.write() as session:
        job = factories.searching_job(session, waiting=0, budget={"trials": count + 5})
        for number in range(count):
            trial = factories.trial(session, job, rungs=(0,))
            mine = factories.must_claim(session)
            assert mine.trial == trial.id
            measured = factories.measurement(0.9 - 0.001 * number, 900 - number)
            factories.deliver(session, mine, measured=measured)
        jobs.set_phase(session, job, Phase.FINISH)
        job_id = job.id
    simulated.run(database, searcher)
    assert [len(row.files) for row in of_test(database, job_id)] == [evaluations.MOST_FILES, 2]
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
