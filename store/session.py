"""Open the database; the only place of the project that commits.

Lock order, kept by every transaction so that none can deadlock on PostgreSQL: worker row, then job
row (several jobs: oldest first, by ``created_at`` and ``id``), then trial row, then attempt row,
then everything else. Whoever changes a trial or an attempt's state, or writes an event, holds the
job's row. SQLite has one writer at a time (``BEGIN IMMEDIATE``) and needs no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from store.database.engines import BEGIN, open_engine


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
        """Yield a transaction that cannot write; its records stay readable afterwards."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Yield a transaction that cannot write and makes no records: the cheapest one."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a transaction that commits at the end and rolls back on an exception."""
        with Session(self._writer, expire_on_commit=False) as session:
            yield session
            session.commit()

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, check_schema: bool = True) -> Database:
    """Return the database at ``url``.

    Raises:
        SchemaOutdated: its schema is not this version's; names ``featherweight migrate``.
    """
    if check_schema:
        # Alembic takes a while to load; only callers that check pay for it.
        from store.database import migrate

        migrate.check(url)
    return Database(url)


def _reader_and_writer(engine: Engine) -> tuple[Engine, Engine]:
    if engine.dialect.name == "sqlite":
        return engine, engine.execution_options(**{BEGIN: "IMMEDIATE"})
    return engine.execution_options(postgresql_readonly=True), engine
