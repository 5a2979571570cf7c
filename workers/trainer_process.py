"""The trainer process, as its supervisor sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from featherweight.system import lifeline
from workers import exits, messages
from workers.messages import Message, Ready
from workers.settings import WorkerSettings
from workers.stopping import StopFlag

_LOOK_SECONDS = 0.2


class TrainerEnded(Exception):
    """The trainer process has ended; ``status`` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the trainer ended with status {status}")
        self.status = status


class TrainerProcess:
    """One running ``python -m workers.trainer`` and the pipe to it."""

    def __init__(self, settings: WorkerSettings) -> None:
        ours, theirs = socket.socketpair()
        self._pipe = Connection(ours.detach())
        self.oom_kills_before = exits.oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.trainer", str(theirs.fileno())],
            env={**os.environ, **_environment(settings)},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it is still running."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Send a message. Raises TrainerEnded if the process is gone."""
        try:
            messages.send(self._pipe, message)
        except OSError as error:
            raise TrainerEnded(self._process.wait()) from error

    def receive(self, timeout_seconds: float) -> Message | None:
        """Return a message if one arrives in time. Raises TrainerEnded at the end of the pipe.

        Messages sent before its end are returned first.
        """
        try:
            if self._pipe.poll(timeout_seconds):
                return messages.receive(self._pipe)
        except (EOFError, OSError) as error:
            raise TrainerEnded(self._process.wait()) from error
        return None

    def ready(self, stop: StopFlag) -> Ready | None:
        """Wait until it can work. Returns None if asked to stop before. Raises TrainerEnded."""
        while not stop():
            message = self.receive(_LOOK_SECONDS)
            if isinstance(message, Ready):
                return message
        return None

    def terminate(self) -> None:
        """Send SIGTERM, which ends it at once because it has no handler."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def close(self) -> None:
        """Kill it if need be, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def _environment(settings: WorkerSettings) -> dict[str, str]:
    """Return the settings as environment variables, with the parent that it must not outlive."""
    values = settings.model_dump(mode="json", exclude={"token"}, exclude_none=True)
    named = {f"FEATHERWEIGHT_{key.upper()}": str(value) for key, value in values.items()}
    secret = {"FEATHERWEIGHT_TOKEN": settings.secret} if settings.secret else {}
    # Threads that spin while they wait take the core from the one they wait for: on a busy machine
    # training was ten times slower.
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    return named | secret | waiting | {lifeline.PARENT: str(os.getpid())}
