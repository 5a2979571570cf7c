"""Disks that are full, read-only or broken: how that shows, and a look by writing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from featherweight.system import disks, private

Fault = Literal["full", "broken"]
_FULL_WORDS = ("database or disk is full", "no space left on device", "disk quota exceeded")
_BROKEN_WORDS = ("readonly database", "disk i/o error", "unable to open database file")
_POSTGRESQL_FULL = "53100"
_PROBE_BYTES = 4096


def fault(error: BaseException) -> Fault | None:
    """What the error says of a disk: of the files', or of the database's. None: nothing."""
    if isinstance(error, DBAPIError):
        return _of_database(error)
    # Errors of connections, and those without a number, are no disk's.
    if not isinstance(error, OSError) or isinstance(error, ConnectionError) or error.errno is None:
        return None
    return "full" if error.errno in disks.FULL else "broken"


def probe(folder: Path) -> int:
    """Write a little and read it again; the bytes that are free there. Raises OSError."""
    private.make_folder(folder)
    disks.probe(folder, num_bytes=_PROBE_BYTES)
    return shutil.disk_usage(folder).free


def database_folder(url: str) -> Path | None:
    """Where an SQLite database lies; None for a server's."""
    path = database_path(url)
    return None if path is None else path.parent


def database_path(url: str) -> Path | None:
    """The file of an SQLite database; None for a server's."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def _of_database(error: DBAPIError) -> Fault | None:
    words = str(error.orig).lower()
    is_full = getattr(error.orig, "sqlstate", None) == _POSTGRESQL_FULL
    if is_full or any(said in words for said in _FULL_WORDS):
        return "full"
    return "broken" if any(said in words for said in _BROKEN_WORDS) else None
