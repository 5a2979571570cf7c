"""A job that another transaction holds keeps the searcher from no other job."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url

from featherweight.specs.states import JobState
from search.loop.searcher import Searcher
from store.database import engines
from store.database.engines import POSTGRESQL_LIMITS_MS
from store.jobs import jobs
from store.session import Database
from tests import factories
from tests.search import simulated


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_searcher_leaves_a_held_job_and_comes_back_to_it(
    database: Database, study_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {**POSTGRESQL_LIMITS_MS, "lock_timeout": 200}
    monkeypatch.setattr(engines, "POSTGRESQL_LIMITS_MS", limits)
    monkeypatch.setattr("search.loop.searcher.LEFT_SECONDS", 0.0)
    with database.write() as session:
        first, second = factories.job(session).id, factories.job(session, name="second").id
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        with psycopg.connect(url) as other:
            other.execute("UPDATE fw_jobs SET name = name WHERE id = %s", [first])
            assert searcher.step()
            assert states(database, first, second) == (JobState.QUEUED, JobState.RUNNING)
            other.rollback()
        assert searcher.step()
    assert states(database, first, second) == (JobState.RUNNING, JobState.RUNNING)


def states(database: Database, *job_ids: str) -> tuple[str, ...]:
    with database.read() as session:
        return tuple(jobs.get(session, job_id).state for job_id in job_ids)
