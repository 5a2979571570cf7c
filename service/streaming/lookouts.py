"""Look at the database once per change, for everybody who waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from service.streaming.notifications import Notifications
from store.database.outages import OUTAGES

_log = logging.getLogger(__name__)

_PACE_SECONDS = 0.25
"""Minimum seconds between two looks: a burst of changes costs one look, not many."""


class Lookout:
    """Looks when the database has changed, when asked, and every ``seconds``.

    ``look`` serves all who wait, so it must not raise for one of them. After an outage of the
    database it looks again at the next turn.
    """

    def __init__(
        self,
        notifications: Notifications,
        look: Callable[[], Awaitable[None]],
        *,
        seconds: float,
        pace_seconds: float = _PACE_SECONDS,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._pace_seconds = pace_seconds
        self._soon = asyncio.Event()
        self._next_look = 0.0
        notifications.subscribe(self.soon)

    def soon(self) -> None:
        """Look as soon as the pace allows; only from the event loop's thread."""
        self._soon.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._soon.wait()
            if (early := self._next_look - time.monotonic()) > 0:
                await asyncio.sleep(early)
            # Before the look: a change in its middle leads to another one.
            self._soon.clear()
            await self._once()
            self._next_look = time.monotonic() + self._pace_seconds

    async def _once(self) -> None:
        try:
            await self._look()
        except OUTAGES as error:
            _log.warning("the database does not answer to those who wait: %s", error)
        except Exception:  # noqa: BLE001 - the outermost loop: if it ended, all would wait for ever
            _log.exception("a look at the database failed")


class Runs(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None:
        """Run until cancelled."""
        ...


@contextlib.asynccontextmanager
async def running(*lookouts: Runs) -> AsyncIterator[None]:
    """Run the lookouts in the background; they have ended afterwards."""
    tasks = [asyncio.create_task(lookout.run()) for lookout in lookouts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
