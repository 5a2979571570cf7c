"""``featherweight up``: one command, one front, and no process left behind."""

import json
import os
import signal
import subprocess

import onnxruntime
import psutil
import pytest
import yaml

from featherweight.client.client import Client
from featherweight.client.transport import file_digest
from featherweight.errors import Unauthorised
from featherweight.specs.states import JobState
from tests.e2e.conftest import TINY
from tests.running import COMMAND, PATIENT, call, environment, free_port, until

pytestmark = pytest.mark.proof


@pytest.fixture
def up(tmp_path):
    """Start ``up`` on a folder of its own; it is gone at the end."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(TINY))
    port = free_port()
    started = []

    def start(*arguments):
        command = [*COMMAND, "up", "--job", "job.yaml", "--port", str(port), *arguments]
        with (tmp_path / "up.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                # Of another service: it opens nothing here, where nobody needs one.
                env=environment(FEATHERWEIGHT_TOKEN="fw_of_another_service"),
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    start.url = f"http://127.0.0.1:{port}"
    start.port = port
    start.folder = tmp_path
    yield start
    for process in started:
        process.kill()
        process.wait()


def test_up_runs_a_job_and_goes_on_with_it_after_a_kill(up):
    first = up()
    marker = up.folder / "var" / "up.json"
    with Client(up.url, retry=PATIENT) as client:
        until(lambda: marker.exists() and json.loads(marker.read_text())["job"])
        job = json.loads(marker.read_text())["job"]
        until(lambda: client.job(job).trials.running)
        family = psutil.Process(first.pid).children(recursive=True)
        assert len(family) >= 5  # service, dashboard, searcher, worker and its child
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        _, alive = psutil.wait_procs(family, timeout=15)
        assert alive == []

    second = up("--exit", "--json", "front.json")
    assert second.wait(180) == 0, (up.folder / "up.log").read_text()
    document = json.loads((up.folder / "front.json").read_text())
    assert (document["job"], document["state"]) == (job, JobState.SUCCEEDED)
    # Those of the budget, and one that measured the files of the front on test.
    assert document["report"]["counts"]["total"] == 4 + 1
    for entry in [document["baseline"], *document["front"]]:
        path = up.folder / entry["path"]
        assert file_digest(path) == entry["sha256"] == entry["manifest"]["file_sha256"]
        assert path.stat().st_size == entry["size_bytes"]
        assert 0 < entry["latency_ms"] <= entry["latency_p95_ms"]
        assert 0 <= entry["accuracy"]["validation"] <= 1
        assert onnxruntime.InferenceSession(str(path)).get_outputs()
    printed = (up.folder / "up.log").read_text()
    assert f"{up.url}/ui/jobs/{job}" in printed
    assert printed.count("recommended: ") == 1
    assert "Traceback" not in printed


def test_a_port_that_is_taken_is_named_with_the_way_out(up):
    import socket

    with socket.create_server(("127.0.0.1", up.port)):
        assert up().wait(60) == 1
    printed = (up.folder / "up.log").read_text()
    way_out = "stop what uses it, or choose another with --port"
    assert printed.endswith(f"\nfeatherweight: port {up.port} is taken: {way_out}\n")


def test_the_first_token_locks_nobody_of_the_house_out(up):
    first = up()
    marker = up.folder / "var" / "up.json"
    with Client(up.url, retry=PATIENT) as client:
        until(lambda: marker.exists() and json.loads(marker.read_text())["job"])
        job = json.loads(marker.read_text())["job"]
        until(lambda: client.job(job).trials.running)  # without a token: the loopback is open
        made = token_command(up, "create", "me", "--scope", "admin")
        with pytest.raises(Unauthorised):
            client.job(job)
    with Client(up.url, made["secret"], retry=PATIENT) as client:
        until(lambda: client.job(job).state.is_finished, seconds=180)
        found = client.job(job)
        assert (found.state, found.trials.failed) == (JobState.SUCCEEDED, 0)
    until(lambda: "serving until Ctrl-C" in (up.folder / "up.log").read_text())
    first.terminate()
    first.wait(60)
    second = up("--exit")
    assert second.wait(180) == 0, (up.folder / "up.log").read_text()
    kinds = [token["kind"] for token in token_command(up, "list")]
    assert sorted(kinds) == ["own", "own", "user"]
    for path in (up.folder / "var" / "log").iterdir():
        assert made["secret"] not in path.read_text()


def token_command(up, *arguments):
    database = f"sqlite:///{up.folder}/var/featherweight.db"
    done = call("token", *arguments, "--json", FEATHERWEIGHT_DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
