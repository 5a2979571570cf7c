"""Whoever kills the searcher, and whenever: the same trials, and no study left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager

import optuna
import pytest
from sqlalchemy import Connection, Engine, event

from search.loop.searcher import Searcher
from search.study import close_storage, open_storage
from store.session import Database
from tests import factories
from tests.search import simulated

CHANGES = {
    "techniques": {"filter_pruning": {"ratios": [0.0, 0.3, 0.6]}, "quantization": {}},
    "budget": {"trials": 12, "parallel_trials": 1},
    "finish": {"trials": 2, "finalists": 2},
    "early_stopping": {"rungs": [0, 1], "eta": 2},
    "sampler": "tpe",
}


LARGE = {"filter_pruning": {"ratios": {"low": 0.0, "high": 0.6, "step": 0.05}}, "quantization": {}}
"""Enough candidates that NSGA-II gets to its third generation."""


class Killed(BaseException):
    """The process is gone."""


def uninterrupted(
    database: Database, study_url: str, **changes: object
) -> list[tuple[int, str, str, str, int]]:
    job_id = simulated.submit(database, name="calm", **(CHANGES | changes))
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    assert simulated.is_finished(database, job_id)
    return simulated.candidates(database, job_id)


@pytest.mark.cross("database_url", "changes")
@pytest.mark.parametrize(
    "changes",
    [
        factories.SHARED | {"finish": {"trials": 1, "finalists": 1}},
        *(
            pytest.param(changes, marks=pytest.mark.proof)
            for changes in (
                {},
                {"sampler": "known_cost"},
                {
                    "sampler": "nsga2",
                    "budget": {"trials": 24, "parallel_trials": 1},
                    "techniques": LARGE,
                },
                factories.PROFILED,
            )
        ),
    ],
)
def test_a_searcher_restarted_at_every_step_gives_the_same_trials(
    database: Database, study_url: str, changes: dict[str, object]
) -> None:
    expected = uninterrupted(database, study_url, **changes)
    job_id = simulated.submit(database, name="restless", **(CHANGES | changes))
    for _ in range(200):
        changed = True
        while changed:
            with closing(Searcher(database, study_url, simulated.settings())) as searcher:
                changed = searcher.step()
        if not simulated.work_once(database):
            break
    assert simulated.is_finished(database, job_id)
    assert simulated.candidates(database, job_id) == expected


def test_two_searchers_that_both_believe_to_lead_lose_and_double_nothing(
    database: Database, study_url: str
) -> None:
    job_id = simulated.submit(database, **CHANGES)
    # One holder: to the leader's row they are the same process, so only the study can tell.
    one, two = (
        Searcher(database, study_url, simulated.settings(), holder="both") for _ in range(2)
    )
    with closing(one), closing(two):
        for searcher in itertools.islice(itertools.cycle((one, two)), 100):
            changed = simulated.settle(searcher)
            worked = simulated.work_once(database)
            if not changed and not worked and simulated.is_finished(database, job_id):
                break
    rows = simulated.rows(database, job_id)
    assert simulated.is_finished(database, job_id)
    assert len(rows) == 12
    assert all(row.told for row in rows)
    assert running_in_study(study_url, job_id) == []


@contextmanager
def killed_after(commits: int) -> Iterator[None]:
    """Die instead of the next commit but ``commits``, whichever database it goes to."""
    left = commits

    def count(connection: Connection) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            connection.invalidate()
            raise Killed

    event.listen(Engine, "commit", count)
    try:
        yield
    finally:
        event.remove(Engine, "commit", count)


def live(database: Database, study_url: str, *, commits: int) -> bool:
    """One life of a searcher; whether it was killed before it ran out of things to do."""
    # The lease of a killed searcher would have to run out; the same holder need not wait.
    with closing(Searcher(database, study_url, simulated.settings(), holder="mortal")) as searcher:
        try:
            with killed_after(commits):
                simulated.settle(searcher)
        except Killed:
            return True
    return False


@pytest.mark.proof
@pytest.mark.parametrize(
    ("changes", "least"), [({}, 30), (factories.SHARED, 15), (factories.PROFILED, 15)]
)
def test_a_searcher_killed_between_any_commits_gives_the_same_trials(
    database: Database, study_url: str, changes: dict[str, object], least: int
) -> None:
    expected = uninterrupted(database, study_url, **changes)
    job_id = simulated.submit(database, name="mortal", **(CHANGES | changes))
    lives, worked = 0, True
    while worked:
        # Every life gets a little farther than the one before; each turn dies at other commits.
        spans = itertools.count(lives % 4, 4)
        while live(database, study_url, commits=next(spans)):
            lives += 1
        worked = simulated.work_once(database)
    assert lives > least
    assert simulated.is_finished(database, job_id)
    assert simulated.candidates(database, job_id) == expected
    assert running_in_study(study_url, job_id) == []


def running_in_study(study_url: str, job_id: str) -> list[int]:
    storage = open_storage(study_url)
    try:
        study = optuna.load_study(study_name=job_id, storage=storage)
        return [trial.number for trial in study.trials if not trial.state.is_finished()]
    finally:
        close_storage(storage)
