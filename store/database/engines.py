"""Engines with this project's connection settings, for either database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import OperationalError

BEGIN = "featherweight_begin"
POSTGRESQL_CONNECT: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that disappeared silently is noticed within ten seconds, even during a query."""
POSTGRESQL_LIMITS_MS: Mapping[str, int] = {
    "lock_timeout": 3_000,
    "statement_timeout": 10_000,
    "idle_in_transaction_session_timeout": 10_000,
}
"""Limits in milliseconds of every wait inside PostgreSQL, all below a usual lease of 15 seconds.

Whoever is suspended within a transaction loses it, and the rows that it locked, before the workers
of the job lose their leases; whoever waits for a row gives up and may ask again.
"""
_IDLE_IN_TRANSACTION = "25P03"
_SQLITE_BUSY_SECONDS = 10
_POOL: Mapping[str, Any] = {"pool_size": 8, "max_overflow": 24, "pool_timeout": 5}
"""The wait for a connection is shorter than any client's for its answer."""


def open_engine(url: str, *, is_patient: bool = False) -> Engine:
    """Return an engine with this project's connection settings, for either dialect.

    Every wait has a limit unless ``is_patient`` is set: schema changes take as long as they take.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql":
            return _open_postgresql(parsed, is_patient=is_patient)
        case other:
            raise ValueError(f"expected a sqlite or postgresql address, got {other!r}")


def limit_waits(connection: Any, record: Any) -> None:
    """Limit every wait of a new PostgreSQL session; a listener of ``connect``."""
    # Outside a transaction, whose rollback would take them back.
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name, milliseconds in POSTGRESQL_LIMITS_MS.items():
            cursor.execute(f"SET {name} = {milliseconds}")
    connection.autocommit = False


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("the database must be a file: several processes share it")
    engine = create_engine(url, connect_args={"timeout": _SQLITE_BUSY_SECONDS}, **_POOL)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # We say BEGIN ourselves: the driver would begin too late, and never IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    busy = f"busy_timeout={1000 * _SQLITE_BUSY_SECONDS}"
    for pragma in (busy, "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get(BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


def _open_postgresql(url: URL, *, is_patient: bool) -> Engine:
    engine = create_engine(url, connect_args=dict(POSTGRESQL_CONNECT), pool_pre_ping=True, **_POOL)
    event.listen(engine, "handle_error", _name_outage)
    if not is_patient:
        event.listen(engine, "connect", limit_waits)
    return engine


def _name_outage(context: ExceptionContext) -> None:
    """Report a session ended for idling in a transaction as a lost connection, not a bug."""
    if getattr(context.original_exception, "sqlstate", None) == _IDLE_IN_TRANSACTION:
        context.is_disconnect = True
        raise OperationalError(context.statement, None, context.original_exception)
