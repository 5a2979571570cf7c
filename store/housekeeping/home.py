"""Decide which database a folder of files belongs to, by a mark in both.

If two databases were given one folder, each would take the files of the other for garbage. What
lies in the folder of another database, or lay there before this one marked it, is not collected
automatically.
"""

from __future__ import annotations

import uuid
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session

from featherweight.system import private
from store.database import clock
from store.database.upserts import insert_new
from store.files.file_store import FileStore
from store.housekeeping import collector
from store.session import Database
from store.tables.records import SecretRecord

_NAME = "files"
_MARK_CHARACTERS = 32
_MOST_LOOKED_AT = 500


def settle(database: Database, store: FileStore) -> bool:
    """Mark the folder unless it is marked. Returns whether it belongs to this database.

    A folder with files of which the database knows none was not filled by it, and is not marked.
    """
    mark = _known(database) or _made(database)
    private.make_folder(store.folder)
    if _read(store) is None and not is_strange(database, store):
        _write(path(store), mark)
    return _read(store) == mark


def _known(database: Database) -> str | None:
    with database.read() as session:
        found = session.get(SecretRecord, _NAME)
    return None if found is None else found.value


def _made(database: Database) -> str:
    with database.write() as session:
        values = {"name": _NAME, "value": uuid.uuid4().hex, "created_at": clock.utc_now()}
        insert_new(session, SecretRecord, values)
        return session.get_one(SecretRecord, _NAME).value


def is_ours(session: Session, store: FileStore) -> bool | None:
    """Return whether the folder belongs to this database, or None if it is not marked."""
    found, known = _read(store), session.get(SecretRecord, _NAME)
    if found is None:
        return None
    return known is not None and known.value == found


def marked_at(store: FileStore) -> float | None:
    """Return when the folder was marked, in seconds since 1970, or None if it is not."""
    try:
        return path(store).stat().st_mtime
    except FileNotFoundError:
        return None


def is_strange(database: Database, store: FileStore) -> bool:
    """Return whether the folder has files and the database knows none of them."""
    some = list(islice(collector.stored(store), _MOST_LOOKED_AT))
    with database.read() as session:
        return bool(some) and not collector.known_of(session, some)


def path(store: FileStore) -> Path:
    """Return the path of the mark."""
    return store.folder / "owner"


def _read(store: FileStore) -> str | None:
    try:
        found = path(store).read_text()
    except FileNotFoundError:
        return None
    return found if len(found) == _MARK_CHARACTERS else None


def _write(place: Path, mark: str) -> None:
    partial = place.with_name(f".owner-{uuid.uuid4().hex}")
    with private.open_file(partial, "xb") as file:
        file.write(mark.encode())
    partial.replace(place)
