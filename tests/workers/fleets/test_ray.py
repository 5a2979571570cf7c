"""Workers as actors of a Ray cluster; what needs Ray is skipped where it is not installed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from featherweight.client.client import Client
from store.access import tokens
from store.session import Database
from tests.running import PATIENT, Running, call, environment, until
from workers.fleets import local
from workers.fleets.ray import RayWorker, Share
from workers.settings import WorkerSettings

SECRET = "fw_" + "r" * 40
WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
sys.argv = ["featherweight", "worker", "--fleet", "ray"]
from launch import main
main.main()
"""


@pytest.fixture(scope="module")
def client(house: Running, records: Database) -> Iterator[Client]:
    with records.write() as session:
        tokens.create(session, name="fleet", scopes=("read", "work"), secret=SECRET)
    with Client(house.url, SECRET, retry=PATIENT) as found:
        yield found


def starts(client: Client, name: str) -> int:
    """How many processes have worked under this name."""
    return sum(worker.name == name for worker in client.workers())


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_ray_the_command_says_what_to_install() -> None:
    done = python(WITHOUT_RAY)
    assert (done.returncode, done.stdout) == (1, "")
    message = "featherweight: a Ray fleet needs Ray: pip install 'featherweight[ray]'\n"
    assert done.stderr == message


@pytest.mark.parametrize(
    "options",
    [
        ("--ray-address", "auto"),
        pytest.param(("--gpus-per-worker", "0.5"), marks=pytest.mark.proof),
        pytest.param(("--cpus-per-worker", "2"), marks=pytest.mark.proof),
    ],
)
def test_options_of_a_cluster_are_refused_for_workers_of_this_machine(
    options: tuple[str, str],
) -> None:
    done = call("worker", *options)
    assert done.returncode == 2
    assert "--fleet ray" in done.stderr


def test_a_fleet_that_does_not_exist_is_refused() -> None:
    done = call("worker", "--fleet", "slurm")
    assert done.returncode == 2
    assert "'slurm' is not one of" in done.stderr


def test_the_secret_is_not_in_a_command() -> None:
    settings = WorkerSettings.model_validate({"token": SECRET, "worker_name": "w"})
    role = local.role(settings, index=3, threads=2)
    assert SECRET not in " ".join(role.command)
    assert role.environment["FEATHERWEIGHT_TOKEN"] == SECRET
    assert role.environment["FEATHERWEIGHT_WORKER_NAME"] == "w-3"
    assert SECRET not in repr(settings)


def supervisors() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "worker" in child.cmdline()]


@pytest.mark.proof
def test_an_actor_keeps_one_ordinary_worker_running_until_it_is_asked_to_stop(
    house: Running, client: Client
) -> None:
    given = {"url": house.url, "token": SECRET, "worker_name": "actor"}
    folder = {"worker_folder": house.folder / "worker", "claim_wait_seconds": 0.5}
    settings = WorkerSettings.model_validate(given | folder)
    actor = RayWorker(settings, index=0, share=Share(cpus=1.0))
    try:
        until(lambda: starts(client, "actor-0") == 1)
        (supervisor,) = supervisors()
        assert supervisor.environ()["CUDA_VISIBLE_DEVICES"] == ""
        supervisor.kill()
        until(lambda: starts(client, "actor-0") == 2)
        members = [supervisors()[0], *supervisors()[0].children(recursive=True)]
    finally:
        actor.stop()
    _, alive = psutil.wait_procs(members, timeout=10)
    assert alive == []


@pytest.fixture
def start_fleet(house: Running) -> Iterator[Callable[..., psutil.Process]]:
    """Start a fleet on a Ray of its own: nothing of an existing cluster is touched."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'featherweight[ray]'")

    def start(*options: str) -> psutil.Process:
        started = house.start(
            "fleet",
            *("worker", "--fleet", "ray", "--ray-address", "local", "--name", "ray"),
            *options,
            FEATHERWEIGHT_TOKEN=SECRET,
            RAY_USAGE_STATS_ENABLED="0",
        )
        return psutil.Process(started.pid)

    yield start
    if "fleet" in house.processes:
        house.kill("fleet", signal.SIGTERM)


def actors_below(fleet: psutil.Process) -> list[psutil.Process]:
    return [p for p in fleet.children(recursive=True) if p.name().startswith("ray::RayWorker")]


@pytest.mark.proof
def test_ray_replaces_a_killed_actor_and_a_stopped_fleet_leaves_nothing(
    house: Running, client: Client, start_fleet: Callable[..., psutil.Process]
) -> None:
    fleet = start_fleet()
    until(lambda: starts(client, "ray-0") == 1, seconds=120)
    (actor,) = actors_below(fleet)
    below = actor.children(recursive=True)
    assert [p for p in below if "launch.main" in p.cmdline()]
    shown = [" ".join(p.cmdline()) for p in fleet.children(recursive=True)]
    assert not [line for line in shown if SECRET in line]
    actor.kill()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    until(lambda: starts(client, "ray-0") == 2, seconds=60)
    members = fleet.children(recursive=True)
    assert house.kill("fleet", signal.SIGTERM) == 0
    _, alive = psutil.wait_procs(members, timeout=10)
    assert alive == []
    assert SECRET not in house.log("fleet")


@pytest.mark.proof
def test_workers_without_room_wait_and_the_fleet_says_so(
    house: Running, client: Client, start_fleet: Callable[..., psutil.Process]
) -> None:
    start_fleet("--name", "wide", "--cpus-per-worker", "100000")
    until(lambda: "worker-0 waits for a node with room" in house.log("fleet"), seconds=90)
    assert house.kill("fleet", signal.SIGINT) == 0
    assert starts(client, "wide-0") == 0


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense", "ray://127.0.0.1:9"])
def test_a_cluster_that_cannot_be_reached_is_said_to_be_so(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'featherweight[ray]'")
    done = call("worker", "--fleet", "ray", "--ray-address", address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"featherweight: no Ray cluster at {address!r}: ")
    assert "Traceback" not in done.stderr
