"""Waiting for the database to change. A wake-up is a hint: whoever wakes reads again."""

from __future__ import annotations

import time
from typing import Any, Protocol

import psycopg
from sqlalchemy import Engine

from store import events
from store.session import Database

POLL_SECONDS = 0.05
RECONNECT_SECONDS = 0.5


class Watcher:
    """Sleeps until somebody has committed. It has a connection of its own and serves one thread.

    On PostgreSQL only events of jobs wake it; on SQLite every commit does.
    """

    def __init__(self, database: Database) -> None:
        """Watch from now on."""
        self._watch: _Watch = (
            _SqliteWatch(database.engine)
            if database.dialect == "sqlite"
            else _PostgresqlWatch(database.engine)
        )

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; True as soon as the database has changed.

        A change between two calls counts for the second. True also after a lost connection came
        back, for something may have been missed.
        """
        return self._watch.wait(timeout)

    def close(self) -> None:
        """Give the connection back."""
        self._watch.close()


class _Watch(Protocol):
    def wait(self, timeout: float) -> bool: ...

    def close(self) -> None: ...


class _SqliteWatch:
    """``PRAGMA data_version`` changes when another connection has committed."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self._connection.detach()
        self._version = self._read()

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._has_changed():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SECONDS, left))
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


class _PostgresqlWatch:
    """``LISTEN`` on the channel on which every event is announced at its commit."""

    def __init__(self, engine: Engine) -> None:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        self._arguments: list[Any] = list(arguments)
        self._options = dict(options)
        self._connection: psycopg.Connection | None = self._connect()

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        try:
            return self._notified(timeout)
        except psycopg.OperationalError:
            self.close()
        return self._reconnect(deadline)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _notified(self, timeout: float) -> bool:
        if self._connection is None:
            raise psycopg.OperationalError("the connection was lost")
        found = list(self._connection.notifies(timeout=timeout, stop_after=1))
        if found:
            # One wake-up for everything that has come in so far.
            list(self._connection.notifies(timeout=0))
        return bool(found)

    def _reconnect(self, deadline: float) -> bool:
        while True:
            try:
                self._connection = self._connect()
                return True
            except psycopg.OperationalError:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(RECONNECT_SECONDS, left))

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(*self._arguments, **self._options, autocommit=True)
        connection.execute(f"LISTEN {events.CHANNEL}")
        return connection
