"""Recognise disks that are full, read-only or broken, and test a disk by writing to it."""

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
    """Return which disk the error is about, that of the files or of the database; None: neither."""
    if isinstance(error, DBAPIError):
        return _of_database(error)
    # Errors of connections, and errors without a number, are not about a disk.
    if not isinstance(error, OSError) or isinstance(error, ConnectionError) or error.errno is None:
        return None
    return "full" if error.errno in disks.FULL else "broken"


def probe(folder: Path) -> int:
    """Write a little, read it again, and return the free bytes. Raises OSError."""
    private.make_folder(folder)
    disks.probe(folder, num_bytes=_PROBE_BYTES)
    return shutil.disk_usage(folder).free


def database_folder(url: str) -> Path | None:
    """Return the folder of an SQLite database, or None for a server."""
    path = database_path(url)
    return None if path is None else path.parent


def database_path(url: str) -> Path | None:
    """Return the file of an SQLite database, or None for a server."""
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
