"""Everything on one machine: service, dashboard, searcher and workers as child processes."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from featherweight.client.client import Client
from featherweight.client.transport import FOREVER
from featherweight.errors import FeatherweightError, ServiceUnavailable
from featherweight.system import private
from featherweight.system.process_group import ProcessGroup, Role
from launch import own_tokens

_HOST = "127.0.0.1"
_START_SECONDS = 90.0
_PORT_SECONDS = 3.0
_MOST_DEATHS = 3
_COMMAND = (sys.executable, "-m", "launch.main")


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """A folder, a port, and a number of workers."""

    folder: Path
    port: int
    workers: int

    @property
    def url(self) -> str:
        """The address of the service."""
        return f"http://{_HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of all processes. Settings of the user stay, except for the addresses."""
        folder = self.folder.resolve()
        defaults = {
            "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{folder / 'featherweight.db'}",
            "FEATHERWEIGHT_FILES": str(folder / "files"),
            "FEATHERWEIGHT_WORKER_FOLDER": str(folder / "worker"),
            # Short long polls, so that an idle worker stops soon.
            "FEATHERWEIGHT_CLAIM_WAIT_SECONDS": "2",
            # There is one searcher here: after a kill the next one need not wait long for it.
            "FEATHERWEIGHT_SEARCHER_LEASE_SECONDS": "5",
        }
        addresses = {
            "FEATHERWEIGHT_HOST": _HOST,
            "FEATHERWEIGHT_PORT": str(self.port),
            "FEATHERWEIGHT_DASHBOARD_PORT": str(self.port + 1),
            "FEATHERWEIGHT_DASHBOARD_URL": f"http://{_HOST}:{self.port + 1}",
            "FEATHERWEIGHT_URL": self.url,
        }
        return defaults | {k: v for k, v in os.environ.items() if k in defaults} | addresses

    @contextmanager
    def running(self) -> Iterator[Client]:
        """Start everything, wait until it serves, stop everything. Raises FeatherweightError."""
        private.make_folder(self.folder)
        with self._alone():
            self._check_ports()
            # Not the tokens in the shell, which may be for another service. These continue to work
            # when somebody makes the first token.
            worker = own_tokens.new(self.folder, "worker", "work")
            ours = own_tokens.new(self.folder, "client", "read", "submit")
            self._migrate(own_tokens.written((worker, ours)))
            group = ProcessGroup(self._roles(worker.secret))
            group.start()
            try:
                with Client(self.url, ours.secret, retry=FOREVER) as client:
                    self._wait(client, group)
                    yield client
            finally:
                group.stop()

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.folder / "log" / f"{name}.log"

    def _roles(self, worker_token: str) -> list[Role]:
        # One core is left to the service and the searcher: threads of a training step wait for the
        # slowest, so that a single busy core would hold up all of them.
        threads = max(1, ((os.cpu_count() or 1) - 1) // self.workers)
        role = self._role
        return [
            role("service", "serve"),
            role("dashboard", "dashboard"),
            role("searcher", "search"),
            *(
                role(
                    f"worker-{index}",
                    "worker",
                    FEATHERWEIGHT_WORKER_NAME=f"worker-{index}",
                    FEATHERWEIGHT_WORKER_THREADS=str(threads),
                    FEATHERWEIGHT_TOKEN=worker_token,
                )
                for index in range(self.workers)
            ),
        ]

    def _role(self, name: str, command: str, **more: str) -> Role:
        return Role(
            name=name,
            command=[*_COMMAND, command],
            environment=self.environment | more,
            log=self.log(name),
        )

    def _migrate(self, tokens: str) -> None:
        done = subprocess.run(
            [*_COMMAND, "migrate", "--json"],
            env={**os.environ, **self.environment, own_tokens.VARIABLE: tokens},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FeatherweightError(f"cannot prepare the database:\n{done.stderr.strip()}")

    def _wait(self, client: Client, group: ProcessGroup) -> None:
        ends = time.monotonic() + _START_SECONDS
        while True:
            try:
                if client.is_ready():
                    return
            except ServiceUnavailable as error:
                deaths = group.deaths("service")
                if deaths >= _MOST_DEATHS or time.monotonic() > ends:
                    log = self.log("service")
                    raise FeatherweightError(
                        f"the service does not start: {error}; see {log}:\n{_tail(log)}"
                    ) from error
            time.sleep(0.1)

    def _check_ports(self) -> None:
        for port in (self.port, self.port + 1):
            ends = time.monotonic() + _PORT_SECONDS
            while not _is_free(port):
                # A killed `up` and its processes may still be ending.
                if time.monotonic() > ends:
                    raise FeatherweightError(
                        f"port {port} is taken: stop what uses it, or choose another with --port"
                    )
                time.sleep(0.1)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(self.folder / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise FeatherweightError(
                f"another `featherweight up` runs on {self.folder}: stop it, or use --folder"
            ) from error
        finally:
            os.close(lock)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:] if path.exists() else ""
