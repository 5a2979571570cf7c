"""The searcher as a process: it starts, follows jobs, survives outages, and stops when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from search.errors import StudySchemaOutdated
from search.main import run
from search.settings import SearcherSettings
from store.cluster.watch import Watcher
from store.errors import SchemaOutdated
from store.session import Database
from tests import factories
from tests.search import simulated

PATIENCE = 60


def settings(database: Database) -> SearcherSettings:
    return SearcherSettings(
        database_url=database.url,
        study_url=None,
        searcher_poll_seconds=0.05,
        searcher_lease_seconds=60,
    )


@contextmanager
def searching(database: Database) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=run, args=(settings(database),), kwargs={"stopping": stopping})
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def wait_until(database: Database, condition: Callable[[], bool]) -> None:
    with closing(Watcher(database)) as watcher:
        for _ in range(PATIENCE * 10):
            if condition():
                return
            watcher.wait(0.1)
    raise AssertionError("waited in vain")


def work_until_finished(database: Database, job_id: str) -> None:
    def finished() -> bool:
        while simulated.work_once(database):
            pass
        return simulated.is_finished(database, job_id)

    wait_until(database, finished)


def test_a_job_runs_to_its_end_while_the_process_runs(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database)
    with searching(database):
        work_until_finished(database, job_id)
    assert simulated.job(database, job_id).state == "succeeded"
    assert len(simulated.rows(database, job_id)) == 6


def test_trials_of_dead_workers_are_given_to_others(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database)
    with searching(database):
        wait_until(database, lambda: len(simulated.rows(database, job_id)) == 1)
        with database.write() as session:
            factories.must_claim(session, "dead", lease_seconds=factories.OVER)
        work_until_finished(database, job_id)
    assert simulated.rows(database, job_id)[0].num_attempts == 2


def test_a_lost_database_is_waited_out(
    database: Database, study_url: str, cut_connections: Callable[[str], None]
) -> None:
    job_id = simulated.submit(database)
    with searching(database):
        wait_until(database, lambda: len(simulated.rows(database, job_id)) == 1)
        cut_connections(database.url)
        database.dispose()
        work_until_finished(database, job_id)
    assert len(simulated.rows(database, job_id)) == 6


def test_a_signal_ends_the_process_cleanly(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database)
    environment = {**os.environ, "FEATHERWEIGHT_DATABASE_URL": database.url}
    environment.pop("FEATHERWEIGHT_STUDY_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-c", "from search.main import run; run()"], env=environment
    )
    try:
        wait_until(database, lambda: len(simulated.rows(database, job_id)) == 1)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
    assert code == 0


def test_an_old_schema_is_refused(empty_database_url: str) -> None:
    with pytest.raises(SchemaOutdated, match="featherweight migrate"):
        run(SearcherSettings(database_url=empty_database_url, study_url=None))


def test_studies_without_tables_are_refused(database: Database) -> None:
    with pytest.raises(StudySchemaOutdated, match="featherweight migrate"):
        run(settings(database))
