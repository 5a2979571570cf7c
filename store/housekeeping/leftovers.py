"""Find and remove what killed processes and unfinished uploads leave on the disk.

A temporary file is locked by the process that fills it, and an upload by the process that writes to
it: a file that can be locked belongs to nobody.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

from store.files import uploads
from store.files.file_store import FileStore
from store.session import Database

_AT_ONCE = 200


def temporary(files: FileStore, *, older_than_seconds: float) -> Iterator[Path]:
    """Yield temporary files that nobody is filling any more."""
    latest = time.time() - older_than_seconds
    for path in _listed(files.temporary_folder):
        if _written_before(path, latest) and not _is_locked(path):
            yield path


def remove_temporary(files: FileStore, *, older_than_seconds: float) -> Iterator[int]:
    """Remove these temporary files one by one, yielding 1 for each."""
    for path in temporary(files, older_than_seconds=older_than_seconds):
        path.unlink(missing_ok=True)
        yield 1


def orphans(database: Database, files: FileStore, *, older_than_seconds: float) -> Iterator[Path]:
    """Yield the files of uploads that the database does not know."""
    latest = time.time() - older_than_seconds
    paths = _listed(files.uploads_folder)
    while page := list(islice(paths, _AT_ONCE)):
        old = [path for path in page if _written_before(path, latest)]
        with database.read() as session:
            known = uploads.known(session, [path.name for path in old])
        yield from (path for path in old if path.name not in known)


def remove_orphans(
    database: Database, files: FileStore, *, older_than_seconds: float
) -> Iterator[int]:
    """Remove these orphans one by one, yielding 1 for each."""
    for path in orphans(database, files, older_than_seconds=older_than_seconds):
        path.unlink(missing_ok=True)
        yield 1


def unfinished(database: Database, files: FileStore, *, before: datetime) -> Iterator[str]:
    """Yield the ids of unfinished uploads that received no byte since ``before``."""
    after: str | None = ""
    while after is not None:
        with database.read() as session:
            page = uploads.untouched(
                session, before=before, is_finished=False, limit=_AT_ONCE, after=after
            )
        after = page[-1] if page else None
        yield from (upload for upload in page if _is_still(files, upload, before))


def remove_unfinished(database: Database, files: FileStore, *, before: datetime) -> Iterator[int]:
    """End these uploads one by one, yielding 1 for each."""
    for upload in unfinished(database, files, before=before):
        yield _end(database, files, upload, before)


def _end(database: Database, files: FileStore, upload: str, before: datetime) -> bool:
    with _unlocked(files.uploads_folder / upload) as is_nobodys:
        if not is_nobodys or not _is_still(files, upload, before):
            return False
        with database.write() as session:
            uploads.discard(session, [upload])
        files.drop_upload(upload)
    return True


def forget_finished(database: Database, *, before: datetime, limit: int = _AT_ONCE) -> int:
    """Forget uploads that became files before then; their requests can no longer be repeated."""
    with database.write() as session:
        page: Sequence[str] = uploads.untouched(
            session, before=before, is_finished=True, limit=limit
        )
        uploads.discard(session, page)
    return len(page)


def _listed(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else iter(())


def _written_before(path: Path, latest: float) -> bool:
    try:
        return path.stat().st_mtime < latest
    except FileNotFoundError:
        return False


def _is_still(files: FileStore, upload: str, before: datetime) -> bool:
    """Return whether the file is idle too: a long request updates its record only at the end."""
    path = files.uploads_folder / upload
    return not path.exists() or _written_before(path, before.timestamp())


def _is_locked(path: Path) -> bool:
    with _unlocked(path) as is_nobodys:
        return not is_nobodys


@contextmanager
def _unlocked(path: Path) -> Iterator[bool]:
    """Yield whether nobody holds the file, and keep everybody from taking it meanwhile.

    It is True if the file is gone.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
