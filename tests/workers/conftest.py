"""A real service, a job in its database, and attempts claimed over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featherweight.client.worker_client import WorkerClient
from featherweight.specs.protocol import Assignment
from store.jobs import jobs
from store.session import Database, open_database
from tests import factories
from tests.running import Running, running


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for each file: workers claim whatever waits in it."""
    with running(tmp_path_factory.mktemp("house"), like=sqlite_template) as found:
        found.serve()
        yield found


@pytest.fixture(scope="module")
def records(house: Running) -> Iterator[Database]:
    opened = open_database(house.database_url, check_schema=False)
    yield opened
    opened.dispose()


@pytest.fixture
def worker_client(house: Running) -> Iterator[WorkerClient]:
    client = WorkerClient(house.url)
    yield client
    client.close()


@pytest.fixture
def claimed(records: Database, worker_client: WorkerClient) -> Iterator[Callable[[], Assignment]]:
    """A search trial of a new job with the rungs 0 and 1, claimed by a new worker."""
    made: list[str] = []

    def claim() -> Assignment:
        with records.write() as session:
            job = factories.searching_job(session)
            made.append(job.id)
        worker = factories.worker_info(job.id)
        assignment = worker_client.claim(worker, wait_seconds=0)
        assert assignment is not None
        assert assignment.job == job.id
        return assignment

    yield claim
    with records.write() as session:
        for job_id in made:
            jobs.cancel(session, job_id)
