"""The collector: remove stored files that nothing keeps, and no others.

The table and the disk are two stores. Whoever acts on both holds the lock of the digest, as does
everybody who stores the same bytes, until a row records them. Foreign keys protect a file that a
row refers to. A file that a worker has sent and not yet reported has a row without a reference: it
is left alone while an attempt is active that may have sent it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState
from store.database import clock
from store.files import file_store, references
from store.files.file_store import FileStore
from store.session import Database
from store.tables.records import AttemptRecord, FileRecord

_AT_ONCE = 500
_SKEW = timedelta(seconds=60)
"""How much the clocks of two services may differ."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file that the database knows."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """A file of the content folder that the database does not know."""

    sha256: str
    size_bytes: int
    changed_at: float
    written_at: float


def stored_before(session: Session, *, grace: timedelta = timedelta()) -> datetime:
    """Return the time limit: files stored after it may soon be referred to."""
    active = select(func.min(AttemptRecord.started_at)).where(
        AttemptRecord.state == AttemptState.ACTIVE
    )
    oldest = session.scalar(active)
    latest = clock.utc_now() - grace
    return latest if oldest is None else min(latest, oldest - _SKEW)


def known(database: Database) -> Iterator[KnownFile]:
    """Yield every file that the database knows, page by page."""
    after: str | None = ""
    while after is not None:
        query = select(FileRecord.sha256, FileRecord.size_bytes).where(FileRecord.sha256 > after)
        with database.read() as session:
            page = session.execute(query.order_by(FileRecord.sha256).limit(_AT_ONCE)).all()
        after = page[-1][0] if page else None
        yield from (KnownFile(sha256=sha256, size_bytes=size) for sha256, size in page)


def is_referenced(database: Database, sha256: str) -> bool:
    """Return whether the database knows the file and something keeps it."""
    with database.read() as session:
        is_known = session.get(FileRecord, sha256) is not None
        return is_known and not references.unkept(session, [sha256])


def unreferenced(database: Database, *, grace: timedelta = timedelta()) -> Iterator[str]:
    """Yield the digests that the database knows and nothing keeps, in order, page by page."""
    with database.read() as session:
        before = stored_before(session, grace=grace)
    after = ""
    while True:
        with database.read() as session:
            page = _stored(session, after=after, before=before)
            found = references.unkept(session, page)
        yield from sorted(found)
        if len(page) < _AT_ONCE:
            return
        after = page[-1]


def collect(
    database: Database, store: FileStore, digests: Collection[str], *, grace: timedelta
) -> int:
    """Remove the files among these that nothing keeps. Returns how many were removed."""
    found = 0
    for page in _pages(iter(sorted(digests))):
        with database.read() as session:
            left = references.unkept(session, page)
        found += sum(remove(database, store, sha256, grace=grace) for sha256 in sorted(left))
    return found


def remove(
    database: Database, store: FileStore, sha256: str, *, grace: timedelta = timedelta()
) -> bool:
    """Remove a file, and its row if any, unless something keeps it. Returns True if it is gone."""
    with store.alone(sha256) as is_alone:
        if not is_alone:
            return False
        with database.write() as session:
            if not _let_go(session, sha256, grace=grace):
                return False
        # A crash here leaves a file without a row: the next look finds it.
        store.delete(sha256)
    return True


def unknown(database: Database, store: FileStore) -> Iterator[OnDisk]:
    """Yield files of the content folder that have no row and no upload, folder by folder."""
    for folder in _folders(store):
        for page in _pages(name for name in _names(folder) if _belongs(name, folder)):
            with database.read() as session:
                known = known_of(session, page) | references.keeping(session, page)
            yield from _seen(folder, [name for name in page if name not in known])


def stored(store: FileStore) -> Iterator[str]:
    """Yield the digests of the files in the content folder."""
    for folder in _folders(store):
        yield from (name for name in _names(folder) if _belongs(name, folder))


def known_of(session: Session, digests: Sequence[str]) -> set[str]:
    """Return the files among these that the database knows."""
    query = select(FileRecord.sha256).where(FileRecord.sha256.in_(digests))
    return set(session.scalars(query))


def strange(store: FileStore) -> Iterator[Path]:
    """Yield paths in the content folder that are not stored files by name or place."""
    for folder in _folders(store):
        for name in _names(folder):
            if not _belongs(name, folder):
                yield folder / name


def _let_go(session: Session, sha256: str, *, grace: timedelta) -> bool:
    row = file_store.lock(session, sha256)
    if references.keeping(session, [sha256]):
        return False
    if row is None:
        return True
    is_old = row.created_at < stored_before(session, grace=grace)
    return is_old and file_store.delete_row(session, sha256)


def _stored(session: Session, *, after: str, before: datetime) -> list[str]:
    query = select(FileRecord.sha256).where(
        FileRecord.sha256 > after, FileRecord.created_at < before
    )
    return list(session.scalars(query.order_by(FileRecord.sha256).limit(_AT_ONCE)))


def _folders(store: FileStore) -> list[Path]:
    folder = store.content_folder
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)


def _belongs(name: str, folder: Path) -> bool:
    return _SHA256.fullmatch(name) is not None and name.startswith(folder.name)


def _seen(folder: Path, names: Sequence[str]) -> Iterator[OnDisk]:
    for name in names:
        try:
            found = (folder / name).stat()
        except FileNotFoundError:
            continue
        yield OnDisk(
            sha256=name,
            size_bytes=found.st_size,
            changed_at=found.st_ctime,
            written_at=found.st_mtime,
        )


def _pages(names: Iterator[str]) -> Iterator[list[str]]:
    while page := list(islice(names, _AT_ONCE)):
        yield page
