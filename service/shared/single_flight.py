"""Run the same work once at a time, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs functions on a few own threads; a caller of a running one waits for its result.

    Waiting holds no thread. Used on the event loop's thread only.
    """

    def __init__(self, *, threads: int) -> None:
        self._limiter = CapacityLimiter(threads)
        self._running: dict[Hashable, asyncio.Future[Result]] = {}

    async def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return the result of the running work of the key, else of ``work``. Raises its errors."""
        running = self._running.get(key)
        if running is None:
            running = asyncio.ensure_future(to_thread.run_sync(work, limiter=self._limiter))
            self._running[key] = running
            running.add_done_callback(lambda done: self._forget(key, done))
        # The others still wait for it if this one has hung up.
        return await asyncio.shield(running)

    def _forget(self, key: Hashable, done: asyncio.Future[Result]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # nobody may be left to see it
