"""Wait until PostgreSQL announces a change."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from sqlalchemy import Engine

from store.database.engines import POSTGRESQL_CONNECT
from store.jobs import events

RECONNECT_SECONDS = 0.5


class PostgresqlWatch:
    """``LISTEN`` on the channel that announces every event at its commit."""

    def __init__(self, engine: Engine) -> None:
        """Listen from now on, over a separate connection."""
        arguments, options = engine.dialect.create_connect_args(engine.url)
        self._arguments: list[Any] = list(arguments)
        self._options = {**POSTGRESQL_CONNECT, **options}
        self._connection: psycopg.Connection | None = self._connect()

    def wait(self, timeout: float) -> bool:
        """Return True once an event was announced, or after a lost connection was restored."""
        deadline = time.monotonic() + timeout
        try:
            return self._notified(timeout)
        except psycopg.OperationalError:
            self.close()
        return self._reconnect(deadline)

    def close(self) -> None:
        """Give the connection back."""
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
