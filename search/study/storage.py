"""Optuna's storage: opened the way this project needs it, and migrated only by ``migrate``."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, text

from featherweight.system import private
from search.errors import StudySchemaOutdated
from store.database.engines import POSTGRESQL_CONNECT, limit_waits, open_engine
from store.database.outages import OUTAGES as STORE_OUTAGES

OUTAGES: tuple[type[Exception], ...] = (StorageInternalError, *STORE_OUTAGES)
"""The errors by which Optuna and the store report a database that cannot be reached."""
_ADVISORY_LOCK = 7_305_807_002
_WAY_OUT = "run `featherweight migrate`"


def open_storage(url: str) -> RDBStorage:
    """Open the storage at ``url``, whose tables must exist, and let Optuna log warnings only.

    Raises:
        StudySchemaOutdated: There are no tables, or they are of another version of Optuna.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _check_tables(url)
    try:
        storage = _connect(url, may_create=False)
    except RuntimeError as error:
        raise StudySchemaOutdated(f"{error} In this project: {_WAY_OUT}") from error
    return storage


def close_storage(storage: RDBStorage) -> None:
    """Close every connection of the storage."""
    storage.remove_session()
    storage.engine.dispose()


def migrate(url: str) -> None:
    """Create or upgrade the storage at ``url``; safe to repeat and to run several times at once."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _only_one(make_url(url)):
        storage = _connect(url, may_create=True)
        try:
            if storage.get_current_version() != storage.get_head_version():
                storage.upgrade()
        finally:
            close_storage(storage)


def _connect(url: str, *, may_create: bool) -> RDBStorage:
    sqlite = make_url(url).get_backend_name() == "sqlite"
    storage = RDBStorage(
        url,
        engine_kwargs=dict(_SQLITE if sqlite else _POSTGRESQL),
        skip_compatibility_check=may_create,
        skip_table_creation=not may_create,
    )
    if sqlite:
        event.listen(storage.engine, "begin", _begin_sqlite)
    elif not may_create:
        event.listen(storage.engine, "connect", limit_waits)
        # The connection that was opened above knows no limits.
        storage.engine.dispose()
    return storage


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # We say BEGIN ourselves: the driver would begin too late, and never IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


# RDBStorage nests two connections: a pool of one would wait for itself.
_SQLITE: dict[str, Any] = {
    "connect_args": {"timeout": 60},
    "pool_size": 5,
    "pool_events": [(_prepare_sqlite, "connect")],
}
_POSTGRESQL: dict[str, Any] = {
    "connect_args": dict(POSTGRESQL_CONNECT),
    "pool_size": 5,
    "pool_timeout": 5,
    "pool_pre_ping": True,
}


def _check_tables(url: str) -> None:
    parsed = make_url(url)
    where = parsed.render_as_string(hide_password=True)
    path = _sqlite_path(parsed)
    if path is not None and not path.exists():
        raise StudySchemaOutdated(f"there are no studies at {where}: {_WAY_OUT}")
    engine = open_engine(url)
    try:
        if not inspect(engine).has_table("version_info"):
            raise StudySchemaOutdated(f"there are no study tables at {where}: {_WAY_OUT}")
    finally:
        engine.dispose()


@contextmanager
def _only_one(url: URL) -> Iterator[None]:
    path = _sqlite_path(url)
    if path is None:
        with _only_one_on_postgresql(url):
            yield
        return
    private.make_folder(path.parent)
    with private.open_file(path.with_name(path.name + ".migrate.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # SQLite gives its other files the mode of this one.
        private.make_file(path)
        yield


@contextmanager
def _only_one_on_postgresql(url: URL) -> Iterator[None]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
            schema = connection.execute(text("SHOW search_path")).scalar_one().split(",")[0]
            with engine.begin() as other:
                other.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema.strip()}"))
            yield
    finally:
        # Closing the connection gives the lock back, whatever happened.
        engine.dispose()


def _sqlite_path(url: URL) -> Path | None:
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None
