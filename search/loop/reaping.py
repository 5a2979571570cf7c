"""The reaper's thread: it looks at the leases however long the searcher thinks or waits."""

from __future__ import annotations

import logging
import threading

from store.cluster.reaper import LOOK_SECONDS, Reaper
from store.database.outages import OUTAGES
from store.session import Database

_log = logging.getLogger(__name__)


class ReaperThread:
    """Looks until it is closed; ``check`` raises what has ended it before that.

    It has a pool of its own and stays while the searcher opens the database anew: an outage of the
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
        """Begin to look, if that has not begun; the schema must be this version's."""
        if self._thread.ident is None:
            self._thread.start()

    def check(self) -> None:
        """Raise the error that has ended the thread, if one has."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Look no more; returns once the last look is over."""
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
