"""Real processes in a temporary folder, for benchmarks."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import psutil


class Cluster:
    """Service, searcher and workers on SQLite in a folder that is gone afterwards."""

    def __init__(self, *, workers: int = 1, searcher: bool = True, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._kinds = ["serve", *(["search"] if searcher else []), *(["worker"] * workers)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(self._folder.name)
        self.environment = os.environ | {
            "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{self.folder}/featherweight.db",
            "FEATHERWEIGHT_FILES": str(self.folder / "files"),
            "FEATHERWEIGHT_PORT": str(self.port),
            "FEATHERWEIGHT_URL": self.url,
            "FEATHERWEIGHT_WORKER_FOLDER": str(self.folder / "worker"),
            **settings,
        }

    def __enter__(self) -> Self:
        # Whoever ends the benchmark ends its cluster, too: an exit runs what an exception would.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        subprocess.run(self._command("migrate"), env=self.environment, check=True, stdout=-3)
        self._processes = [self._start(number) for number in range(len(self._kinds))]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(timeout=60)
        self._folder.cleanup()

    @property
    def database_url(self) -> str:
        """Where the cluster's database is."""
        return self.environment["FEATHERWEIGHT_DATABASE_URL"]

    @property
    def service(self) -> psutil.Process:
        """The process of the service."""
        return psutil.Process(self._processes[0].pid)

    def service_cpu_seconds(self) -> float:
        """Processor time that the service has taken so far, all of its threads."""
        times = self.service.cpu_times()
        return times.user + times.system

    def wait_healthy(self, seconds: float = 60) -> None:
        """Return when the service answers; raise after ``seconds``."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if httpx2.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.02)
        raise TimeoutError(f"no answer from {self.url} within {seconds} s")

    def kill_one(self, rng: random.Random) -> str:
        """``kill -9`` one process, start it again, and say which kind it was."""
        number = rng.randrange(len(self._processes))
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._start(number)
        return self._kinds[number]

    def restart(self, kind: str) -> None:
        """``kill -9`` all processes of a kind, and start them again."""
        for number in self._of(kind):
            self._processes[number].kill()
            self._processes[number].wait()
            self._processes[number] = self._start(number)

    @contextmanager
    def suspended(self, kind: str) -> Iterator[None]:
        """Suspend all processes of a kind for as long as the context lasts."""
        processes = [self._processes[number] for number in self._of(kind)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def _of(self, kind: str) -> list[int]:
        return [number for number, found in enumerate(self._kinds) if found == kind]

    def _command(self, kind: str) -> list[str]:
        return [sys.executable, "-m", "launch.main", kind]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        kind = self._kinds[number]
        # Workers on one folder are told apart by their names.
        environment = self.environment | {"FEATHERWEIGHT_WORKER_NAME": f"bench-{number}"}
        with (self.folder / f"{kind}-{number}.log").open("ab") as log:
            return subprocess.Popen(
                self._command(kind), env=environment, stdout=log, stderr=subprocess.STDOUT
            )


def free_port() -> int:
    """A TCP port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
