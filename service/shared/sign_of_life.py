"""Record in the database that the service lives; without that, no silent worker is to blame."""

from __future__ import annotations

import asyncio
import logging

from anyio import to_thread

from store.cluster import liveness
from store.database.outages import OUTAGES
from store.session import Database

_log = logging.getLogger(__name__)
_BEATS = 2
"""How often per validity of one sign."""
_SIGNS_PER_LEASE = 3
"""A worker's lease outlasts the last sign before it by two thirds, even if it was renewed then."""


class SignOfLife:
    """Records from time to time that workers can be heard; every service does it."""

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self._database = database
        self._seconds = lease_seconds / _SIGNS_PER_LEASE

    async def run(self) -> None:
        """Give signs until cancelled."""
        while True:
            try:
                await to_thread.run_sync(self._give)
            except OUTAGES as error:
                _log.info("no sign of life: %s", error)
            await asyncio.sleep(self._seconds / _BEATS)

    def _give(self) -> None:
        with self._database.write() as session:
            liveness.note_service(session, seconds=self._seconds)
