"""The services of one checkout's compose file, under a project, a port and secrets of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2

from benchmarks.cluster.processes import free_port
from benchmarks.same_as.api import Api

Thing = TypeVar("Thing")
_KILL_ALL = "import os; os.kill(-1, 9)"
"""Ends everything in a container but its first process, which then ends, too, with a failure."""
_BEGAN = "print(open('/proc/1/stat').read().rpartition(')')[2].split()[19])"
"""When a container's first process began, in ticks since the start of the machine."""
_RESTART_SECONDS = 180.0


def _secret() -> str:
    return secrets.token_hex(24)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What an upgrade does not change: the project with its volumes, the port and the secrets."""

    project: str = field(default_factory=lambda: f"featherweight-drill-{os.getpid()}")
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=_secret)
    admin: str = field(default_factory=_secret)
    worker: str = field(default_factory=_secret)

    @property
    def environment(self) -> dict[str, str]:
        """The settings that the compose file asks for."""
        return {
            "POSTGRES_PASSWORD": self.password,
            "FEATHERWEIGHT_ADMIN_TOKEN": self.admin,
            "FEATHERWEIGHT_WORKER_TOKEN": self.worker,
            "FEATHERWEIGHT_PUBLISH": f"127.0.0.1:{self.port}",
        }

    def api(self) -> Api:
        """The service's API, with the admin's token."""
        return Api(f"http://127.0.0.1:{self.port}", token=self.admin)


class Stack:
    """One checkout on a site."""

    def __init__(self, checkout: Path, site: Site, *, compose: Sequence[str]) -> None:
        """Nothing runs yet; ``compose`` are the words of the compose command."""
        self._command = [*compose, "-p", site.project]
        self._checkout = checkout.resolve()
        self._environment = os.environ | site.environment

    def call(self, *arguments: str, check: bool = True) -> str:
        """What a compose command prints. Raises RuntimeError with its words where it fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            cwd=self._checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def build(self) -> None:
        """Make the image of this checkout."""
        self.call("build")

    def up(self, *, workers: int) -> None:
        """Start what does not run in this version, and wait until all of it is healthy."""
        self.call("up", "-d", "--wait", "--scale", f"worker={workers}")

    def kill(self) -> None:
        """``kill -9`` every container; an engine takes that for a stop by hand."""
        self.call("kill", "-s", "SIGKILL")

    def stop(self) -> None:
        """Stop every container."""
        self.call("stop")

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.call("down", "-v", "--remove-orphans", "-t", "10")

    def crash(self, service: str, *, index: int = 1) -> None:
        """``kill -9`` all of a container from within, and wait for its restart by the policy."""
        before = self._began(service, index)
        self._python(service, index, _KILL_ALL)
        until(lambda: self._began(service, index) not in ("", before), seconds=_RESTART_SECONDS)

    def query(self, statement: str) -> list[str]:
        """The rows that the database answers, a line each."""
        psql = ("psql", "-U", "featherweight", "-At", "-c", statement)
        return self.call("exec", "-T", "database", *psql).split("\n")[:-1]

    def doctor(self) -> None:
        """Let the service's own doctor look at everything. Raises RuntimeError where it finds."""
        self.call("exec", "-T", "service", "featherweight", "doctor", "--deep")

    def _began(self, service: str, index: int) -> str:
        return self._python(service, index, _BEGAN).strip()

    def _python(self, service: str, index: int, words: str) -> str:
        where = ("exec", "-T", "--index", str(index), service)
        return self.call(*where, "python", "-c", words, check=False)


def until(look: Callable[[], Thing], *, seconds: float) -> Thing:
    """What ``look`` gives once it is true; nobody answers meanwhile. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if found := look():
                return found
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"nothing within {seconds:g} s")
