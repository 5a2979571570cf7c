"""Wait for the database to change. A wake-up is a hint: the reader must read again."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from sqlalchemy import Engine

from store.session import Database

POLL_SECONDS = 0.05


class Watcher:
    """Sleeps until somebody commits. It has its own connection and serves one thread.

    On PostgreSQL only events of jobs wake it; on SQLite every commit does.
    """

    def __init__(self, database: Database) -> None:
        """Watch from now on."""
        self._stopped = threading.Event()
        self._watch = _watch(database, self._stopped)

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds. Returns True as soon as the database has changed.

        A change between two calls counts for the second. It also returns True after a lost
        connection was restored, because a change may have been missed.
        """
        return self._watch.wait(timeout)

    def stop(self) -> None:
        """End the wait that another thread is in: on SQLite at once, else after its timeout."""
        self._stopped.set()

    def close(self) -> None:
        """Give the connection back."""
        self._watch.close()


class _Watch(Protocol):
    def wait(self, timeout: float) -> bool: ...

    def close(self) -> None: ...


class _SqliteWatch:
    """``PRAGMA data_version`` changes when another connection has committed."""

    def __init__(self, engine: Engine, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._connection = engine.raw_connection()
        self._connection.detach()
        self._version = self._read()

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._has_changed():
            left = deadline - time.monotonic()
            if left <= 0 or self._stopped.wait(min(POLL_SECONDS, left)):
                return False
        return True

    def close(self) -> None:
        self._connection.close()

    def _has_changed(self) -> bool:
        before, self._version = self._version, self._read()
        return self._version != before

    def _read(self) -> int:
        cursor = self._connection.cursor()
        try:
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchone() or (0,)
            return int(version)
        finally:
            cursor.close()


def _watch(database: Database, stopped: threading.Event) -> _Watch:
    if database.dialect == "sqlite":
        return _SqliteWatch(database.engine, stopped)
    # The driver takes a tenth of the service's start; those who have SQLite need none.
    from store.cluster.listening import PostgresqlWatch

    return PostgresqlWatch(database.engine)
