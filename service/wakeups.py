"""From a change in the database to everyone who waits for one, without one thread per waiter."""

from __future__ import annotations

import asyncio
import threading

from store.watch import Watcher

_WATCH_SECONDS = 0.5


class Wakeups:
    """One thread watches the database; coroutines take a ticket and wait on it.

    Take the ticket *before* reading: a change between the read and the wait then ends the wait
    at once. A wake-up is a hint, so every wait has a limit.
    """

    def __init__(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = watcher
        self._loop = loop
        self._changed = asyncio.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def ticket(self) -> asyncio.Event:
        """An event that is set at the next change."""
        return self._changed

    def wake(self) -> None:
        """Wake everyone; only from the event loop's thread."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def is_closed(self) -> bool:
        """Whether the service is going down; whoever waits should finish."""
        return self._closed.is_set()

    def dismiss(self) -> None:
        """Let everyone who waits finish now, and nobody wait any more; only from the loop."""
        self._closed.set()
        self.wake()

    def close(self) -> None:
        """Stop watching and wake everyone a last time."""
        self.dismiss()
        self._thread.join(timeout=5)
        self._watcher.close()

    def _watch(self) -> None:
        while not self._closed.is_set():
            if self._watcher.wait(_WATCH_SECONDS) and not self._closed.is_set():
                self._loop.call_soon_threadsafe(self.wake)


async def wait(ticket: asyncio.Event, *, timeout: float) -> bool:
    """Wait for the ticket's change; False when ``timeout`` seconds passed without one."""
    try:
        async with asyncio.timeout(timeout):
            await ticket.wait()
    except TimeoutError:
        return False
    return True


async def wait_or(ticket: asyncio.Event, other: asyncio.Future[None], *, timeout: float) -> None:
    """Wait for the ticket's change or for ``other``, ``timeout`` seconds at most."""
    changed = asyncio.ensure_future(ticket.wait())
    try:
        await asyncio.wait({changed, other}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
