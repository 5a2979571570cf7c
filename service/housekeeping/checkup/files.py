"""Compare stored files with their rows, and find what lies next to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from featherweight.specs.checkup import Finding
from service.housekeeping.tidying import LEFTOVER_SECONDS, ORPHAN_SECONDS
from service.settings import ServiceSettings
from store.database import clock
from store.files import streams
from store.files.file_store import FileStore
from store.housekeeping import collector, home, leftovers
from store.housekeeping.collector import KnownFile
from store.session import Database

_RESTORE = (
    "restore it from a backup to this path, or upload the same bytes again; then `featherweight "
    "resume` the jobs that wait for it"
)
_COLLECT = "`featherweight doctor --repair` removes it; the service does so by itself after a while"
_REPAIR = "`featherweight doctor --repair` removes it"


def look(
    database: Database, store: FileStore, settings: ServiceSettings, *, deep: bool
) -> Iterator[Finding]:
    """Yield stored files that are missing, damaged, unreferenced or left over."""
    yield from _owner(database, store)
    yield from _rows(database, store, deep=deep)
    yield from _unreferenced(database, store)
    yield from _unknown(database, store)
    yield from _strange(store)
    yield from _leftovers(database, store, settings)


def _owner(database: Database, store: FileStore) -> Iterator[Finding]:
    with database.read() as session:
        is_ours = home.is_ours(session, store)
    if is_ours is False:
        yield Finding(
            check="files",
            what="the folder of files was marked by another database, so nothing is collected",
            thing=str(store.folder),
            mend="give each database a folder of its own (FEATHERWEIGHT_FILES); if the other "
            f"database is gone for good, remove {home.path(store)}",
        )
    elif is_ours is None and home.is_strange(database, store):
        yield Finding(
            check="files",
            what="the database knows none of the files in the folder, so nothing is collected",
            thing=str(store.folder),
            mend="see that FEATHERWEIGHT_FILES and FEATHERWEIGHT_DATABASE_URL belong together",
        )


def _rows(database: Database, store: FileStore, *, deep: bool) -> Iterator[Finding]:
    for known in collector.known(database):
        what = _wrong(store, known, deep=deep)
        if what and collector.is_referenced(database, known.sha256):
            place = store.content_folder / known.sha256[:2] / known.sha256
            yield Finding(check="files", what=what, thing=str(place), mend=_RESTORE)


def _wrong(store: FileStore, known: KnownFile, *, deep: bool) -> str | None:
    path = store.content_folder / known.sha256[:2] / known.sha256
    try:
        size = path.stat().st_size
        if size != known.size_bytes:
            return f"a stored file has {size:,} bytes, not {known.size_bytes:,}"
        if deep and streams.hash_file(path) != known.sha256:
            return "a stored file is corrupt: its SHA-256 is not the one in its name"
    except (FileNotFoundError, NotADirectoryError):
        return "a stored file is missing"
    except PermissionError:
        return "a stored file cannot be read by this user"
    return None


def _unreferenced(database: Database, store: FileStore) -> Iterator[Finding]:
    for sha256 in collector.unreferenced(database):
        if not store.is_held(sha256):
            yield Finding(
                check="files",
                what="nothing refers to a stored file any more",
                thing=sha256,
                mend=_COLLECT,
                repairable=True,
            )


def _unknown(database: Database, store: FileStore) -> Iterator[Finding]:
    for found in collector.unknown(database, store):
        if not store.is_held(found.sha256):
            yield Finding(
                check="files",
                what=f"the database does not know a file of {found.size_bytes:,} bytes",
                thing=str(store.content_folder / found.sha256[:2] / found.sha256),
                mend=f"{_REPAIR}; restore the database first if it is older than its files",
                repairable=True,
            )


def _strange(store: FileStore) -> Iterator[Finding]:
    for path in collector.strange(store):
        yield Finding(
            check="files",
            what="a path among the stored files is not a stored file",
            thing=str(path),
            mend="look what it is, and move it elsewhere",
        )


def _leftovers(
    database: Database, store: FileStore, settings: ServiceSettings
) -> Iterator[Finding]:
    for path in leftovers.temporary(store, older_than_seconds=LEFTOVER_SECONDS):
        yield _left("a killed process has left a temporary file", path)
    for path in leftovers.orphans(database, store, older_than_seconds=ORPHAN_SECONDS):
        yield _left("the database does not know the upload of these bytes", path)
    if kept := settings.keep_uploads:
        slack = timedelta(seconds=2 * settings.tidy_seconds)
        before = clock.utc_now() - kept - slack
        for upload in leftovers.unfinished(database, store, before=before):
            yield _left("an upload was never finished", store.uploads_folder / upload)


def _left(what: str, path: Path) -> Finding:
    return Finding(check="leftovers", what=what, thing=str(path), mend=_COLLECT, repairable=True)
