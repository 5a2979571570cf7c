"""The process that imports torch and trains, as its supervisor sees it."""

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
    """The child is gone; ``status`` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the child ended with status {status}")
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
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Say something. Raises ChildEnded when it is gone."""
        try:
            messages.send(self._pipe, message)
        except OSError as error:
            raise TrainerEnded(self._process.wait()) from error

    def receive(self, timeout_seconds: float) -> Message | None:
        """What it says within that time. Raises ChildEnded when it is gone and has said all."""
        try:
            if self._pipe.poll(timeout_seconds):
                return messages.receive(self._pipe)
        except (EOFError, OSError) as error:
            raise TrainerEnded(self._process.wait()) from error
        return None

    def ready(self, stop: StopFlag) -> Ready | None:
        """Wait until it can work; None when asked to stop before that. Raises ChildEnded."""
        while not stop():
            message = self.receive(_LOOK_SECONDS)
            if isinstance(message, Ready):
                return message
        return None

    def terminate(self) -> None:
        """SIGTERM: it ends at once, as it has no handler."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def close(self) -> None:
        """End it if need be, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def _environment(settings: WorkerSettings) -> dict[str, str]:
    """The settings as the child will read them again, and whom it must not outlive."""
    values = settings.model_dump(mode="json", exclude={"token"}, exclude_none=True)
    named = {f"FEATHERWEIGHT_{key.upper()}": str(value) for key, value in values.items()}
    secret = {"FEATHERWEIGHT_TOKEN": settings.secret} if settings.secret else {}
    # Threads that spin while they wait take the core from the one they wait for: on a busy machine
    # training was ten times slower.
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    return named | secret | waiting | {lifeline.PARENT: str(os.getpid())}
