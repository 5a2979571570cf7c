"""A group of processes: started, restarted if one dies or is stopped, ended in reverse order."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from featherweight.client.transport import RetryPolicy
from featherweight.system import frozen, lifeline, private

_LOOK_SECONDS = 0.2
_RESTART = RetryPolicy(attempts=None, base_seconds=0.5, most_seconds=10.0)
_HEALTHY_SECONDS = 30.0
_CHECK_SECONDS = 2.0
"""How often is looked whether processes are stopped."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Role:
    """One process to keep alive. Without ``log`` it writes where its parent does."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    stop_seconds: float = 15.0
    frozen_seconds: float = 10.0
    """How long it, or a process that it started, may be stopped (SIGSTOP) before it is replaced."""


class ProcessGroup:
    """Keeps its roles running, from ``start`` to ``stop``. No child outlives this process."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self._members = [_Member(role) for role in roles]
        self._stopping = threading.Event()
        # The kernel ends a child when the thread that started it ends: one thread does it all.
        self._thread = threading.Thread(target=self._look_after, name="process-group")

    def start(self) -> None:
        """Start all processes, in order."""
        self._thread.start()

    def stop(self) -> None:
        """Send SIGTERM to each, last first, then SIGKILL to those that do not end in time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def deaths(self, name: str) -> int:
        """Return how often the role with that name has died so far."""
        return next(member.deaths for member in self._members if member.role.name == name)

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            for member in self._members:
                member.keep_alive()
            self._stopping.wait(_LOOK_SECONDS)
        for member in reversed(self._members):
            member.stop()


class _Member:
    def __init__(self, role: Role) -> None:
        self.role = role
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._due_at = 0.0
        self._check_at = 0.0
        self._checks_stopped = 0

    def keep_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._note_death(self._process.returncode)
        if self._process is not None and time.monotonic() >= self._check_at:
            self._end_if_frozen(self._process)
        if self._process is None and time.monotonic() >= self._due_at:
            self._process = self._spawned()
            self._started_at = time.monotonic()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self.role.stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _end_if_frozen(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process that was found stopped in every check of a while.

        Checks are counted, not seconds: a machine that slept has not seen them stand still.
        """
        self._check_at = time.monotonic() + _CHECK_SECONDS
        self._checks_stopped = self._checks_stopped + 1 if frozen.is_stopped(process.pid) else 0
        if self._checks_stopped * _CHECK_SECONDS > self.role.frozen_seconds:
            _log.warning("%s is stopped, so it is replaced", self.role.name)
            process.kill()
            self._checks_stopped = 0

    def _note_death(self, status: int) -> None:
        self._process = None
        self.deaths += 1
        lived = time.monotonic() - self._started_at
        tried = 1 if lived > _HEALTHY_SECONDS else min(self.deaths, 10)
        pause = _RESTART.pause(tried) or 0.0
        self._due_at = time.monotonic() + pause
        _log.warning("%s ended with status %d, again in %.1f s", self.role.name, status, pause)

    def _spawned(self) -> subprocess.Popen[bytes]:
        log = self.role.log
        if log is None:
            return self._popen(None)
        private.make_folder(log.parent)
        with private.open_file(log, "ab") as file:
            return self._popen(file.fileno())

    def _popen(self, output: int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(self.role.command),
            env={**os.environ, **self.role.environment, lifeline.PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this process: it stops the others in order
        )
