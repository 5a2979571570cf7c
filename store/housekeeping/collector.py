"""The collector: removes stored files that nothing keeps, and can remove no other.

Table and disk are two stores. What acts on both holds the lock of the digest, which everybody
holds who stores the same bytes, until a row says so. Rows that refer to a file are held to it by
the database. What a worker has sent and not reported yet has a row and no reference: a file is
left alone while an attempt is active that may have sent it.
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
"""Clocks of two services may differ by so much."""
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
    """Files that were stored after this may be referred to soon."""
    active = select(func.min(AttemptRecord.started_at)).where(
        AttemptRecord.state == AttemptState.ACTIVE
    )
    oldest = session.scalar(active)
    latest = clock.utc_now() - grace
    return latest if oldest is None else min(latest, oldest - _SKEW)


def known(database: Database) -> Iterator[KnownFile]:
    """Every file that the database knows, page by page."""
    after: str | None = ""
    while after is not None:
        query = select(FileRecord.sha256, FileRecord.size_bytes).where(FileRecord.sha256 > after)
        with database.read() as session:
            page = session.execute(query.order_by(FileRecord.sha256).limit(_AT_ONCE)).all()
        after = page[-1][0] if page else None
        yield from (KnownFile(sha256=sha256, size_bytes=size) for sha256, size in page)


def is_referenced(database: Database, sha256: str) -> bool:
    """Whether the database knows the file, and something keeps it."""
    with database.read() as session:
        is_known = session.get(FileRecord, sha256) is not None
        return is_known and not references.unkept(session, [sha256])


def unreferenced(database: Database, *, grace: timedelta = timedelta()) -> Iterator[str]:
    """Digests that the database knows and nothing keeps, in their order, page by page."""
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
    """Remove those of the files that nothing keeps; returns how many that were."""
    found = 0
    for page in _pages(iter(sorted(digests))):
        with database.read() as session:
            left = references.unkept(session, page)
        found += sum(remove(database, store, sha256, grace=grace) for sha256 in sorted(left))
    return found


def remove(
    database: Database, store: FileStore, sha256: str, *, grace: timedelta = timedelta()
) -> bool:
    """Remove a file, and its row if there is one, unless something keeps it. Whether it is gone."""
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
    """Files of the content folder without a row, and kept by no upload, folder by folder."""
    for folder in _folders(store):
        for page in _pages(name for name in _names(folder) if _belongs(name, folder)):
            with database.read() as session:
                known = known_of(session, page) | references.keeping(session, page)
            yield from _seen(folder, [name for name in page if name not in known])


def stored(store: FileStore) -> Iterator[str]:
    """Digests of what lies in the content folder, by name and place."""
    for folder in _folders(store):
        yield from (name for name in _names(folder) if _belongs(name, folder))


def known_of(session: Session, digests: Sequence[str]) -> set[str]:
    """Those of the files that the database knows."""
    query = select(FileRecord.sha256).where(FileRecord.sha256.in_(digests))
    return set(session.scalars(query))


def strange(store: FileStore) -> Iterator[Path]:
    """What lies in the content folder and is no stored file by its name or place."""
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
