"""Every command of the compose file, as plain processes against PostgreSQL and with its tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from featherweight import samples
from featherweight.client.client import Client
from featherweight.errors import Unauthorised
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, Phase
from tests.conftest import address, run_on_server
from tests.running import PATIENT, QUICK, ROOT, Running, running, until

ADMIN, WORKER = "fw_" + "a" * 40, "fw_" + "w" * 40
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
JOB: dict[str, Any] = {
    "name": "cluster",
    "model": {"architecture": {"widths": [4, 8], "depths": [1, 1]}, "epochs": 4},
    "data": "digits",
    "techniques": {"filter_pruning": {}, "quantization": {}},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "budget": {"trials": 6, "parallel_trials": 2},
    "early_stopping": {"rungs": [0, 1], "eta": 2},
    "finish": {"trials": 1, "finalists": 1, "epochs": 1},
}


@pytest.fixture
def cluster(tmp_path: Path, postgresql_server: str) -> Iterator[Running]:
    name = f"fw_{uuid.uuid4().hex}"
    run_on_server(postgresql_server, "CREATE DATABASE {}", name)
    with running(tmp_path) as found:
        found.database_url = address(postgresql_server, name)
        yield found
    run_on_server(postgresql_server, "DROP DATABASE {} WITH (FORCE)", name)


def start(cluster: Running, service: str, name: str, **changes: str) -> None:
    cluster.start(name, *COMPOSE[service]["command"], **changes)


@pytest.mark.proof
def test_the_cluster_runs_a_job_through_a_killed_worker_and_a_cut_database(
    cluster: Running, cut_connections: Callable[[str], None], tmp_path: Path
) -> None:
    tokens = {"FEATHERWEIGHT_ADMIN_TOKEN": ADMIN, "FEATHERWEIGHT_WORKER_TOKEN": WORKER}
    start(cluster, "migrate", "migrate", **tokens)
    assert cluster.processes.pop("migrate").wait(60) == 0
    # Tokens exist, so it may bind to every address, as in its container.
    start(cluster, "service", "serve", FEATHERWEIGHT_HOST="0.0.0.0")
    start(cluster, "searcher", "search")
    start(cluster, "dashboard", "dashboard")
    for name in ("worker-1", "worker-2"):
        start(cluster, "worker", name, FEATHERWEIGHT_TOKEN=WORKER, FEATHERWEIGHT_WORKER_NAME=name)
    path = tmp_path / "digits.npz"
    samples.write("digits", path)
    with Client(cluster.url, ADMIN, retry=PATIENT) as client:
        cluster.wait_until_ready(token=ADMIN)
        client.upload_dataset(path, name="digits")
        job = client.submit(JobSpec.model_validate(JOB)).id
        until(lambda: client.job(job).trials.running > 0)
        cluster.kill("worker-1")
        cut_connections(cluster.database_url)
        until(lambda: client.job(job).state.is_finished, seconds=180)
        ended = client.job(job)
        of_budget = [each for each in client.trials(job) if each.phase != Phase.TEST]
        assert (ended.state, len(of_budget)) == (JobState.SUCCEEDED, 6)
        assert client.front(job).points
    with Client(cluster.url, retry=QUICK) as stranger, pytest.raises(Unauthorised):
        stranger.job(job)
