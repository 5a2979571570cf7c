"""The processes of one checkout, started with its own command line in a folder of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

from benchmarks.cluster.processes import free_port
from benchmarks.same_as.api import Api

Thing = TypeVar("Thing")
PROCESSES = ("serve", "search", "worker")
_PR_SET_PDEATHSIG = 1
_LAST_BYTES = 3000
_PACE = {
    "FEATHERWEIGHT_WORKER_NAME": "worker",
    "FEATHERWEIGHT_WORKER_THREADS": "1",
    "FEATHERWEIGHT_CLAIM_WAIT_SECONDS": "1",
    "FEATHERWEIGHT_SEARCHER_LEASE_SECONDS": "5",
    # One candidate waits at most: a sampler has then always seen every trial but the running one.
    "FEATHERWEIGHT_LOOK_AHEAD": "0",
    "OMP_NUM_THREADS": "1",
}


class House:
    """Service, searcher and one worker of a checkout, on SQLite in a folder."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        """Make the folder; nothing runs yet."""
        self._command = str(checkout.resolve() / ".venv/bin/featherweight")
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.api = Api(f"http://127.0.0.1:{port}")
        self._environment = _outer() | _PACE | _places(self.folder, port)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def database(self) -> Path:
        """The database with our tables."""
        return self.folder / "featherweight.db"

    @property
    def studies(self) -> Path:
        """The database with Optuna's tables."""
        return self.folder / "studies.db"

    def call(self, *arguments: str) -> str:
        """What one command prints. Raises RuntimeError with its words where it fails."""
        done = subprocess.run(
            [self._command, *arguments],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, name: str) -> None:
        """Start ``featherweight NAME``, which writes to NAME.log and dies with this process."""
        parent = os.getpid()
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [self._command, name],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),
            )

    def open(self) -> None:
        """Migrate the database, start the service and the searcher, and wait for an answer."""
        self.call("migrate")
        for name in PROCESSES[:2]:
            self.start(name)
        until(lambda: self.is_well() and self.api.answers(), seconds=60)

    def is_well(self) -> bool:
        """Whether all that was started runs. Raises RuntimeError with the last words of what died.

        It is always true: its use is in conditions that are waited for.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                words = (self.folder / f"{name}.log").read_bytes()[-_LAST_BYTES:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {words.decode()}")
        return True

    def kill(self) -> None:
        """``kill -9`` every process and wait for their ends."""
        for process in self._running.values():
            os.killpg(process.pid, signal.SIGKILL)
        for process in self._running.values():
            process.wait(60)
        self._running.clear()


@contextmanager
def running(checkout: Path, folder: Path) -> Iterator[House]:
    """A house whose service and searcher run; all of its processes are gone afterwards."""
    house = House(checkout, folder)
    try:
        house.open()
        yield house
    finally:
        house.kill()
        house.api.close()


def until(look: Callable[[], Thing], *, seconds: float) -> Thing:
    """What ``look`` gives once it is true. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > ends:
            raise TimeoutError(f"nothing within {seconds:g} s")
        time.sleep(0.05)
    return found


def end_with_children() -> None:
    """Make SIGTERM an exit, so that what runs is stopped on the way out."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _outer() -> dict[str, str]:
    """The environment of this process, without settings and without paths of modules."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FEATHERWEIGHT_") and name != "PYTHONPATH"
    }


def _places(folder: Path, port: int) -> dict[str, str]:
    return {
        "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{folder}/featherweight.db",
        "FEATHERWEIGHT_FILES": str(folder / "files"),
        "FEATHERWEIGHT_WORKER_FOLDER": str(folder / "worker"),
        "FEATHERWEIGHT_PORT": str(port),
        "FEATHERWEIGHT_URL": f"http://127.0.0.1:{port}",
    }


def _die_with(parent: int) -> None:
    """Have the kernel end this process when ``parent`` is gone; it stays so over an exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
