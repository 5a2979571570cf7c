"""Opening candidates and history survive a searcher that is killed between any two commits."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest

from search.loop.searcher import Searcher
from search.study.frozen import PRIOR
from store.jobs import jobs
from store.session import Database
from store.trials import candidates
from store.trials.candidates import ProposedCandidate
from tests import factories
from tests.search import simulated, warming
from tests.search.loop.test_crashes import CHANGES, live, running_in_study
from tests.search.queue.test_warm_start import study_trials


def submit(database: Database, source: str, name: str) -> str:
    """A job with opening candidates, and one of a user that the space does not have."""
    start = {"warm_start": {"jobs": [source], "candidates": 3}, "name": name}
    job_id = warming.submit(database, model="network", **(CHANGES | start))
    with database.write() as session:
        outside = ProposedCandidate(candidate=factories.candidate(0.123))
        candidates.add(session, jobs.get(session, job_id), outside, origin=candidates.USER)
    return job_id


@pytest.mark.proof
def test_a_searcher_killed_between_any_commits_tries_the_same_in_the_same_order(
    database: Database, study_url: str
) -> None:
    source = warming.submit(database, model="network", **CHANGES)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    calm = submit(database, source, "calm")
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    expected = simulated.candidates(database, calm)

    job_id = submit(database, source, "mortal")
    lives, worked = 0, True
    while worked:
        spans = itertools.count(lives % 4, 4)
        while live(database, study_url, commits=next(spans)):
            lives += 1
        worked = simulated.work_once(database)

    assert lives > 20
    assert simulated.is_finished(database, job_id)
    assert simulated.candidates(database, job_id) == expected
    assert [origin for _, _, origin, _, _ in expected[1:5]] == ["warm", "warm", "warm", "user"]
    assert len(expected) == 12
    assert running_in_study(study_url, job_id) == []
    prior = [
        t.user_attrs["trial"] for t in study_trials(study_url, job_id) if PRIOR in t.user_attrs
    ]
    searched = [row for row in simulated.rows(database, source) if row.phase == "search"]
    assert prior == [row.id for row in searched]
