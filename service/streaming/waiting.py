"""Workers that wait for a trial: one look at the database for all, and turns by age."""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from service.streaming.lookouts import Lookout
from service.streaming.notifications import Notifications

_LOOK_AGAIN_SECONDS = 2.0
"""Most seconds between two looks, for a wake-up can be lost. One look serves all who wait."""


class WaitingPlace:
    """A worker's place in the line. Used on the event loop's thread only."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_trying = False
        self._called = asyncio.Event()

    @property
    def is_called(self) -> bool:
        """Whether it is this worker's turn to claim."""
        return self._called.is_set()

    def call(self) -> None:
        """Let the worker claim, or finish if the service stops."""
        self._called.set()

    def reset(self) -> None:
        """Wait again."""
        self.is_trying = False
        self._called.clear()

    async def wait(self, hung_up: asyncio.Future[None], *, timeout: float) -> bool:
        """Wait for the turn, the hang-up or the timeout. Returns True if the turn came."""
        called = asyncio.ensure_future(self._called.wait())
        try:
            await asyncio.wait(
                {called, hung_up}, timeout=max(0.0, timeout), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            called.cancel()
        return self.is_called and not hung_up.done()


class WaitingLine:
    """Calls as many of the waiting workers as there are trials, oldest first.

    If a worker leaves before it claims, its turn passes to the next. A worker that claimed in vain,
    because another process was faster, keeps its place in the line.

    Args:
        notifications: Tells of changes.
        count: How many trials may be claimed now, at most the given number; runs on a thread.
    """

    def __init__(self, notifications: Notifications, count: Callable[[int], int]) -> None:
        self.lookout = Lookout(notifications, self._look, seconds=_LOOK_AGAIN_SECONDS)
        self._notifications = notifications
        self._count = count
        self._numbers = itertools.count()
        self._sleeping: list[WaitingPlace] = []
        self._awake: set[WaitingPlace] = set()
        notifications.subscribe(self._dismiss)

    @contextmanager
    def place(self, *, changes_known: int) -> Iterator[WaitingPlace]:
        """Yield a place at the end. The worker claimed in vain after ``changes_known`` changes."""
        place = WaitingPlace(next(self._numbers))
        self._sleep(place)
        if self._notifications.num_changes != changes_known:
            self.lookout.soon()
        try:
            yield place
        finally:
            self._leave(place)

    def stand_back(self, place: WaitingPlace) -> None:
        """Let a worker that claimed in vain sleep on, before all later ones."""
        self._awake.discard(place)
        place.reset()
        self._sleep(place)

    def _sleep(self, place: WaitingPlace) -> None:
        bisect.insort(self._sleeping, place, key=lambda one: one.number)
        self._dismiss()

    async def _look(self) -> None:
        if not self._sleeping:
            return
        found = await run_in_threadpool(self._count, len(self._sleeping) + len(self._awake))
        # Those who are awake already will take some of them.
        self._call(found - len(self._awake))

    def _call(self, number: int) -> None:
        for place in self._sleeping[: max(0, number)]:
            self._awake.add(place)
            place.call()
        del self._sleeping[: max(0, number)]

    def _leave(self, place: WaitingPlace) -> None:
        if place not in self._awake:
            self._sleeping.remove(place)
            return
        self._awake.discard(place)
        if not place.is_trying:
            self._call(1)

    def _dismiss(self) -> None:
        if self._notifications.is_closed:
            self._call(len(self._sleeping))
