"""The real processes, started for a test on a free port and in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from featherweight.client.client import Client
from featherweight.client.transport import RetryPolicy
from featherweight.errors import ServiceUnavailable
from featherweight.system import lifeline

ROOT = Path(__file__).parents[1]
QUICK = RetryPolicy(attempts=3, base_seconds=0.01, most_seconds=0.05)
PATIENT = RetryPolicy(attempts=200, base_seconds=0.05, most_seconds=0.2)
_LAST_LINES = 40
COMMAND = (sys.executable, "-m", "launch.main")
HOUSES: list[Running] = []
"""Those that run now: what their processes wrote is shown beside a test that fails."""
Thing = TypeVar("Thing")


def until(look: Callable[[], Thing], *, seconds: float = 60.0) -> Thing:
    """What ``look`` gives once it gives something true."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends, f"nothing within {seconds} s"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without its own settings, with the repository importable."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEATHERWEIGHT_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def call(
    *arguments: str, timeout: float = 60.0, **changes: str
) -> subprocess.CompletedProcess[str]:
    """One command of the CLI, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Running:
    """Processes of one house, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = f"sqlite:///{folder}/featherweight.db"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def settings(self) -> dict[str, str]:
        return {
            "FEATHERWEIGHT_DATABASE_URL": self.database_url,
            "FEATHERWEIGHT_FILES": str(self.folder / "files"),
            "FEATHERWEIGHT_WORKER_FOLDER": str(self.folder / "worker"),
            "FEATHERWEIGHT_WORKER_THREADS": "1",
            "FEATHERWEIGHT_CLAIM_WAIT_SECONDS": "1",
            "FEATHERWEIGHT_SEARCHER_LEASE_SECONDS": "2",
            "FEATHERWEIGHT_PORT": str(self.port),
            "FEATHERWEIGHT_URL": self.url,
        }

    def migrate(self) -> None:
        done = call("migrate", **self.settings)
        assert done.returncode == 0, done.stderr

    def start(self, name: str, *arguments: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start ``featherweight ARGUMENTS`` (or its name); it writes to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*COMMAND, *(arguments or (name,))],
                env=environment(**self.settings | {lifeline.PARENT: str(os.getpid())} | changes),
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def serve(self) -> None:
        self.start("serve")
        self.wait_until_ready()

    def wait_until_ready(self, token: str | None = None) -> None:
        with Client(self.url, token) as client:
            until(lambda: self._serves(client))

    def _serves(self, client: Client) -> bool:
        assert self.processes["serve"].poll() is None, self.log("serve")
        try:
            next(client.jobs(), None)
        except ServiceUnavailable:
            return False
        return True

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit status."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(60)

    def children(self, name: str) -> list[psutil.Process]:
        return psutil.Process(self.processes[name].pid).children()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def told(self) -> Iterator[tuple[str, str]]:
        """Each process's name and how it is, and the last lines that it wrote."""
        for path in sorted(self.folder.glob("*.log")):
            process = self.processes.get(path.stem)
            status = process.poll() if process else "stopped by the test"
            lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            yield f"{path.stem} ({'runs' if status is None else status})", "\n".join(lines)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@contextmanager
def running(folder: Path, *, like: Path | None = None) -> Iterator[Running]:
    """A house in this folder, without processes yet; its database a copy of ``like``."""
    if like is not None:
        shutil.copy(like, folder / "featherweight.db")
    found = Running(folder)
    HOUSES.append(found)
    try:
        yield found
    finally:
        HOUSES.remove(found)
        found.close()
