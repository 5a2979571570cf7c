"""A request to stop, visible to everything that takes long."""

from __future__ import annotations

import time

_LOOK_SECONDS = 0.1


class StopFlag:
    """Set once with a reason, by a signal handler or another thread, and read often.

    It is a plain attribute and not a ``threading.Event``: setting an event inside a signal handler
    can wait for a lock that the interrupted code holds.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.is_ours = True

    def __call__(self) -> bool:
        """Return whether somebody asked to stop."""
        return self.reason is not None

    def set(self, reason: str, *, is_ours: bool = True) -> None:
        """Ask to stop; ``is_ours`` False means that the attempt now belongs to somebody else."""
        self.is_ours = is_ours
        self.reason = reason

    def wait(self, seconds: float) -> bool:
        """Wait for ``seconds``, or until asked to stop. Returns whether somebody asked."""
        ends = time.monotonic() + seconds
        while not self() and (left := ends - time.monotonic()) > 0:
            time.sleep(min(_LOOK_SECONDS, left))
        return self()
