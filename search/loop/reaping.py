"""The reaper's thread, which checks the leases however long the searcher computes or waits."""

from __future__ import annotations

import logging
import threading

from store.cluster.reaper import LOOK_SECONDS, Reaper
from store.database.outages import OUTAGES
from store.session import Database

_log = logging.getLogger(__name__)


class ReaperThread:
    """Checks the leases until it is closed; ``check`` raises the error that ended it before.

    It has a connection pool of its own and goes on while the searcher reconnects: an outage of the
    searcher is no reason to give every worker another lease.
    """

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)
        self._reaper = Reaper(self._database)
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Start the thread if it has not started; the schema must be of this version."""
        if self._thread.ident is None:
            self._thread.start()

    def check(self) -> None:
        """Raise the error that has ended the thread, if one has."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the thread, and return once its last check is over."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._database.dispose()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(LOOK_SECONDS):
                self._look()
        except BaseException as error:  # noqa: BLE001 - the searcher's own thread raises it
            self._error = error

    def _look(self) -> None:
        try:
            self._reaper.look()
        except OUTAGES as error:
            if not self._is_away:
                _log.warning("leases cannot be looked at: %s", error)
            self._is_away = True
        else:
            self._is_away = False
