"""Upgrade the schema with Alembic (package ``migrations``), safely when several processes start.

Our version table and our tables have their own names, so that Optuna's Alembic may share the
database.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, make_url, text

import migrations
from featherweight.system import private
from store.database.engines import open_engine
from store.database.schema import VERSION_TABLE
from store.errors import BrokenReferences, SchemaOutdated
from store.tables.records import Base

_ADVISORY_LOCK = 7_305_807_001


def upgrade(url: str) -> None:
    """Upgrade the database at ``url`` to the newest schema, or leave it unchanged on an error.

    Creates a missing SQLite file. Raises BrokenReferences if rows of an SQLite file refer to rows
    that do not exist.
    """
    with _only_one(url), _engine(url, is_patient=True) as engine:
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _let_tables_be_rebuilt)
        _upgrade(engine)


def current(url: str) -> str | None:
    """Return the revision of the database at ``url``; None if it is empty or has no file yet."""
    path = _sqlite_path(url)
    if path is not None and not path.exists():
        return None
    with _engine(url) as engine, engine.connect() as connection:
        options = {"version_table": VERSION_TABLE}
        return MigrationContext.configure(connection, opts=options).get_current_revision()


@cache
def head() -> str:
    """Return the newest revision of this version. It is read once, as it is part of the program."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    assert revision is not None
    return revision


def check(url: str) -> None:
    """Raise SchemaOutdated unless the database at ``url`` has the newest schema."""
    found, wanted = current(url), head()
    if found != wanted:
        raise SchemaOutdated(
            f"the schema of {shown(url)} is {found or 'empty'}, this version needs {wanted}: "
            "run `featherweight migrate`"
        )


def shown(url: str) -> str:
    """Return the address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Return whether a table is ours, to filter Alembic's comparisons."""
    return name in Base.metadata.tables if kind == "table" else True


def run(connection: Connection) -> None:
    """Run the migrations inside the open transaction; called by ``migrations/env.py``."""
    from alembic import context

    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        include_name=include_name,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _upgrade(engine: Engine) -> None:
    settings = config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, "head")
        _check_references(connection)


def _let_tables_be_rebuilt(connection: Any, record: Any) -> None:
    # SQLite alters a table by copying it, and dropping the old one looks like a loss of its rows.
    connection.execute("PRAGMA foreign_keys=OFF")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        tables = sorted({row[0] for row in broken})
        raise BrokenReferences(f"{len(broken)} rows of {tables} refer to rows that are not there")


def config() -> Config:
    """Return the Alembic settings. A connection must be put in ``attributes["connection"]``."""
    settings = Config()
    folder = str(Path(migrations.__file__).parent)
    settings.set_main_option("script_location", folder.replace("%", "%%"))
    return settings


@contextmanager
def _engine(url: str, *, is_patient: bool = False) -> Iterator[Engine]:
    engine = open_engine(url, is_patient=is_patient)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _only_one(url: str) -> Iterator[None]:
    path = _sqlite_path(url)
    if path is None:
        yield
        return
    private.make_folder(path.parent)
    # A lock file, because turning WAL on does not wait for other connections.
    with private.open_file(path.with_name(path.name + ".migrate.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # SQLite gives its other files the mode of this one.
        private.make_file(path)
        _turn_wal_on(url)
        yield


def _turn_wal_on(url: str) -> None:
    with _engine(url) as engine:
        raw = engine.raw_connection()
        try:
            # Kept in the file's header: it is set once, before anybody else opens the database.
            raw.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            raw.close()


def _sqlite_path(url: str) -> Path | None:
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
