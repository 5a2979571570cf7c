"""What asks and tells took is said when the job is over."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from search.searcher import Searcher
from store.session import Database
from tests.search import simulated


def test_at_the_end_of_a_job_the_log_says_what_its_asks_and_tells_took(
    database: Database, study_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    job_id = simulated.submit(database, budget={"trials": 6}, finish={"trials": 1, "finalists": 1})
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)

    said = re.search(f"job {job_id} is over: 4 asks took (.*) s, 6 tells (.*) s", caplog.text)
    assert said is not None
    assert float(said[1]) > 0 < float(said[2])
