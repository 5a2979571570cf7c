"""Opening the database, and the only place of the project that commits.

Lock order, kept by every transaction so that none can deadlock on PostgreSQL:
worker row, then job row (several jobs: oldest first, by ``created_at`` and ``id``), then trial row,
then attempt row, then everything else. Whoever changes a trial, an attempt's state or writes an
event holds the job's row. SQLite has one writer at a time (``BEGIN IMMEDIATE``) and needs no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

_BEGIN = "featherweight_begin"
_POSTGRESQL_CONNECT = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class Database:
    """A database and its pool of connections; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Connect lazily to ``url`` (SQLite file or PostgreSQL)."""
        self.url = url
        self.engine = open_engine(url)
        self.dialect = self.engine.dialect.name
        self._reader, self._writer = _reader_and_writer(self.engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that cannot write; its records stay readable afterwards."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end and rolls back on an exception."""
        with Session(self._writer, expire_on_commit=False) as session:
            yield session
            session.commit()

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, check_schema: bool = True) -> Database:
    """The database at ``url``.

    Raises:
        SchemaOutdated: its schema is not this version's; names ``featherweight migrate``.
    """
    if check_schema:
        # Alembic takes a while to load; only those who check pay.
        from store import migrate

        migrate.check(url)
    return Database(url)


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
    kind = connection.get_execution_options().get(_BEGIN, "DEFERRED")
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


def _reader_and_writer(engine: Engine) -> tuple[Engine, Engine]:
    if engine.dialect.name == "sqlite":
        return engine, engine.execution_options(**{_BEGIN: "IMMEDIATE"})
    return engine.execution_options(postgresql_readonly=True), engine
