"""A job as the searcher has it open: how many candidates may wait for a worker."""

from __future__ import annotations

import math
from contextlib import closing

import pytest

from featherweight.specs.states import TrialState
from search import sampling
from search.loop.searcher import Searcher
from search.study.job_search import JobSearch
from store.session import Database
from tests import factories
from tests.search import simulated

LONG = sampling.LONG_TRIAL_MACS


@pytest.mark.parametrize(
    ("macs", "parallel", "most"),
    [
        (0.0, 1, 3),
        (0.0, 16, 18),
        (0.99 * LONG, 1, 3),
        (LONG, 1, 1),
        (LONG, 3, 1),
        (LONG, 16, 4),
    ],
)
def test_candidates_of_long_trials_hardly_wait(macs: float, parallel: int, most: int) -> None:
    spec = factories.spec(budget={"trials": 40, "parallel_trials": parallel})
    opened = JobSearch(
        bounds=None,
        problem=factories.problem(spec),
        study=None,
        trial_macs=macs,
    )
    assert opened.most_waiting(2) == most


@pytest.mark.parametrize(("long", "most"), [(math.inf, 4), (1.0, 1)])
def test_a_long_trial_is_proposed_when_the_one_before_it_has_begun(
    database: Database, study_url: str, monkeypatch: pytest.MonkeyPatch, long: float, most: int
) -> None:
    monkeypatch.setattr(sampling, "LONG_TRIAL_MACS", long)
    job_id = simulated.submit(
        database,
        budget={"trials": 8, "parallel_trials": 2},
        sampler="random",
    )
    waiting: list[int] = []
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        while not simulated.is_finished(database, job_id):
            while searcher.step():
                pass
            rows = simulated.rows(database, job_id)
            waiting.append(sum(row.state == TrialState.WAITING for row in rows))
            simulated.work_once(database)
    assert max(waiting) == most
