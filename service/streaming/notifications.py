"""Notify everybody who waits for a change in the database, with one thread for all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from store.cluster.watch import Watcher

_WATCH_SECONDS = 0.5


class Notifications:
    """One thread watches the database; the thread of the event loop calls every subscriber.

    A wake-up is a hint: it can be lost with the connection to the database, so subscribers also
    look from time to time without one.
    """

    def __init__(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = watcher
        self._loop = loop
        self._subscribers: list[Callable[[], None]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.num_changes = 0
        """Changes so far: whoever read before the number rose must read again."""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def subscribe(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` at every change and at the end; only from the thread of the event loop."""
        self._subscribers.append(tell)

    def wake(self) -> None:
        """Call every subscriber; only from the thread of the event loop."""
        self.num_changes += 1
        for tell in self._subscribers:
            tell()

    @property
    def is_closed(self) -> bool:
        """Whether the service is stopping; everybody who waits should finish."""
        return self._closed.is_set()

    def dismiss(self) -> None:
        """Let everybody who waits finish now, and let nobody wait any more; only from the loop."""
        self._closed.set()
        self.wake()

    def close(self) -> None:
        """Stop watching and wake everybody a last time."""
        self.dismiss()
        self._watcher.stop()
        self._thread.join(timeout=5)
        self._watcher.close()

    def _watch(self) -> None:
        while not self._closed.is_set():
            if self._watcher.wait(_WATCH_SECONDS) and not self._closed.is_set():
                self._loop.call_soon_threadsafe(self.wake)
