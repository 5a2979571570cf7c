"""Engines with this project's connection settings, for either database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

BEGIN = "featherweight_begin"
_POSTGRESQL_CONNECT = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def open_engine(url: str) -> Engine:
    """An engine with this project's connection settings, for either dialect."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql":
            return _open_postgresql(parsed)
        case other:
            raise ValueError(f"expected a sqlite or postgresql address, got {other!r}")


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("the database must be a file: several processes share it")
    engine = create_engine(
        url, connect_args={"timeout": 60}, pool_size=10, max_overflow=30, pool_timeout=60
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # We say BEGIN ourselves: the driver would begin too late, and never IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("busy_timeout=60000", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get(BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


def _open_postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        connect_args=_POSTGRESQL_CONNECT,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=15,
        pool_timeout=60,
    )
