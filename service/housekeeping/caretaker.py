"""The caretaker: removes expired things from time to time, in one process at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import Counter

from anyio import to_thread

from service.housekeeping import tidying
from service.housekeeping.tidying import HousekeepingScope
from store.cluster import leader
from store.database.outages import OUTAGES
from store.files.disk import fault

NAME = "caretaker"
"""Row of the leaders' table that one process holds at a time."""
LEASE_SECONDS = 60.0
_LAST_STEP_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Caretaker:
    """One process's turns at housekeeping. If it is killed, the next process does the rest."""

    def __init__(self, scope: HousekeepingScope) -> None:
        """Begin with nothing removed."""
        self._scope = scope
        self._holder = f"{NAME}-{uuid.uuid4()}"
        self._stopping = threading.Event()
        self._turning = threading.Lock()
        self._renew_at = 0.0

    async def run(self) -> None:
        """Take a turn every ``tidy_seconds`` until cancelled; the first one after such a pause."""
        seconds = self._scope.settings.tidy_seconds
        while seconds:
            await asyncio.sleep(seconds)
            try:
                await to_thread.run_sync(self.turn, abandon_on_cancel=True)
            except asyncio.CancelledError:
                await self._stop()
                raise
            except (*OUTAGES, OSError) as error:
                words = "a full or broken disk" if fault(error) else "the database"
                _log.warning("nothing can be tidied for %s: %s", words, error)
            except Exception:  # noqa: BLE001 - the outermost loop: if it ended, garbage would stay
                _log.exception("tidying failed")

    async def _stop(self) -> None:
        """Wait for the end of the running step, which has a connection."""
        self._stopping.set()
        await asyncio.to_thread(self._turning.acquire, timeout=_LAST_STEP_SECONDS)

    def turn(self) -> Counter[str] | None:
        """Remove what may go. Returns counts by kind, or None while another process is doing it."""
        with self._turning:
            if not self._leads():
                return None
            try:
                removed = +self._removed()
            finally:
                self._resign()
        if removed:
            said = ", ".join(f"{count} {name}" for name, count in removed.items())
            _log.info("tidied away: %s", said)
        return removed

    def _removed(self) -> Counter[str]:
        removed: Counter[str] = Counter()
        for name, steps in tidying.work(self._scope):
            for count in steps:
                removed[name] += count
                if self._stopping.is_set() or not self._leads():
                    return removed
        return removed

    def _leads(self) -> bool:
        """Return whether this process has the role. A second process would be safe but wasteful.

        What it does is safe beside another, too, only wasted.
        """
        if time.monotonic() < self._renew_at:
            return True
        with self._scope.database.write() as session:
            term = leader.take(session, self._holder, lease_seconds=LEASE_SECONDS, name=NAME)
        self._renew_at = 0.0 if term is None else time.monotonic() + LEASE_SECONDS / 3
        return term is not None

    def _resign(self) -> None:
        self._renew_at = 0.0
        with self._scope.database.write() as session:
            leader.resign(session, self._holder, name=NAME)
