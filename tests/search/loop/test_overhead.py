"""What asks and tells took is said when the job is over."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from featherweight.specs.states import Phase
from search.loop.searcher import Searcher
from store.session import Database
from store.trials import trials
from tests.search import simulated


def test_at_the_end_of_a_job_the_log_says_what_its_asks_and_tells_took(
    database: Database, study_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    job_id = simulated.submit(database, budget={"trials": 6}, finish={"trials": 1, "finalists": 1})
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)

    with database.read() as session:
        rows = trials.of_job(session, job_id)
    asks = sum(row.phase == Phase.SEARCH for row in rows)
    said = re.search(
        f"job {job_id} is over: {asks} asks took (.*) s, {len(rows)} tells (.*) s", caplog.text
    )
    assert said is not None
    assert float(said[1]) > 0 < float(said[2])
