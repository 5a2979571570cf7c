"""Files addressed by content: written to a temporary name, renamed, checked on reading."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from featherweight.system import private
from store.database import clock
from store.database.upserts import insert_or_renew
from store.errors import (
    ArtifactNotFound,
    DigestMismatch,
    FileBusy,
    FileCorrupt,
    UploadBusy,
    UploadNotFound,
    UploadOffsetMismatch,
)
from store.files import incoming, references, streams
from store.files.incoming import Incoming
from store.files.streams import StoredFile
from store.tables.records import FileRecord

__all__ = ["FileStore", "Incoming", "StoredFile", "forget", "record"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"[0-9A-Za-z-]{1,64}")
_LOCK_DIGITS = 3
_LOCK_POLL_SECONDS = 0.02
_LONGEST_REMOVAL_SECONDS = 10.0


class FileStore:
    """A folder of content-addressed files. It knows no SQL: ``record`` registers a file there."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which is created when the first file arrives."""
        self.folder = folder
        self._verified: dict[str, tuple[int, int]] = {}

    def put(
        self,
        chunks: Iterable[bytes],
        *,
        limit: int,
        expected: str | None = None,
        holds: ExitStack | None = None,
    ) -> StoredFile:
        """Store a stream of bytes. An error leaves nothing behind.

        Args:
            chunks: The content.
            limit: Most bytes it may have.
            expected: SHA-256 (hex) it must have, if it was announced.
            holds: Until this is closed nobody removes the file; without it, until the return.

        Raises:
            FileTooLarge: it is longer than ``limit``.
            DigestMismatch: it is not what was announced.
            FileBusy: the same bytes are being removed.
        """
        with incoming.incoming(self.temporary_folder, limit=limit) as arriving:
            for chunk in chunks:
                arriving.write(chunk)
            return self.keep(arriving, expected=expected, holds=holds)

    def arriving(self, *, limit: int) -> Incoming:
        """Begin a file that arrives piece by piece: write to it, ``keep`` it, then ``drop`` it.

        Nothing in it waits: the reader of the pieces decides how long to wait for them.
        """
        return incoming.begin(self.temporary_folder, limit=limit)

    def keep(
        self, arriving: Incoming, *, expected: str | None = None, holds: ExitStack | None = None
    ) -> StoredFile:
        """Store a file that has arrived. Arguments and errors are those of ``put``."""
        stored = arriving.finish()
        if expected not in (None, stored.sha256):
            raise DigestMismatch(f"expected SHA-256 {expected}, the bytes have {stored.sha256}")
        with ExitStack() as own:
            (holds or own).enter_context(self.held(stored.sha256))
            self._adopt(arriving.path, stored.sha256)
        return stored

    @contextmanager
    def held(self, sha256: str) -> Iterator[None]:
        """Keep these bytes from being removed. Several holders are possible. Raises FileBusy."""
        if not (lock := self._lock(sha256, fcntl.LOCK_SH, seconds=_LONGEST_REMOVAL_SECONDS)):
            raise FileBusy(f"the file {sha256} is being removed: try again in a moment")
        with lock:
            yield

    @contextmanager
    def alone(self, sha256: str) -> Iterator[bool]:
        """Yield whether nobody holds these bytes, and keep everybody from taking them meanwhile."""
        lock = self._lock(sha256, fcntl.LOCK_EX, seconds=0.0)
        with lock or nullcontext():
            yield lock is not None

    def path(self, sha256: str) -> Path:
        """Return the path of the file, unchecked. Raises ArtifactNotFound."""
        path = self._place(sha256)
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            is_file = False  # other errors are the disk's: nobody knows then what is there
        if not is_file:
            raise ArtifactNotFound(f"no file {sha256} is stored")
        return path

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes from ``start`` to ``end`` (exclusive), in pieces.

        A whole file is checked while it streams: its last piece is sent only if the digest is
        right. For a part, the whole file is checked first, once per change of the file.

        Raises:
            ArtifactNotFound: no such file.
            FileCorrupt: the file is not what was stored.
        """
        if start == 0 and end is None:
            return self._read_whole(self.path(sha256), sha256)
        self.verify(sha256)
        return streams.read(self.path(sha256), start=start, end=end)

    def _read_whole(self, path: Path, sha256: str) -> Iterator[bytes]:
        try:
            yield from streams.read_checked(path, sha256)
        except FileCorrupt:
            # Neither time nor length of the file revealed it: the next reader gets an error.
            self._verified.pop(sha256, None)
            raise

    def verify(self, sha256: str) -> None:
        """Check the whole file; a file unchanged since the last check is not read again.

        Raises:
            ArtifactNotFound: no such file.
            FileCorrupt: the file is not what was stored.
        """
        path = self.path(sha256)
        found = path.stat()
        version = (found.st_mtime_ns, found.st_size)
        if self._verified.get(sha256) != version:
            streams.check_digest(streams.hash_file(path), sha256)
            self._verified[sha256] = version

    def verify_again(self, sha256: str) -> None:
        """Check the whole file, ignoring earlier checks. Raises as ``verify``."""
        self._verified.pop(sha256, None)
        self.verify(sha256)

    def delete(self, sha256: str) -> None:
        """Remove the file if it exists. Call it after ``forget`` was committed."""
        self._place(sha256).unlink(missing_ok=True)

    def begin_upload(self, upload_id: str) -> None:
        """Start an empty upload."""
        path = self._upload(upload_id)
        private.make_folder(path.parent)
        private.open_file(path, "xb").close()

    def received(self, upload_id: str) -> int:
        """Return how many bytes of the upload have arrived. Raises UploadNotFound."""
        return self._existing_upload(upload_id).stat().st_size

    def append_upload(
        self,
        upload_id: str,
        chunks: Iterable[bytes],
        *,
        offset: int,
        limit: int,
        begin: int | None = None,
    ) -> int:
        """Continue an upload. Returns how many bytes it has then.

        What arrived before the connection broke stays, so that the client can go on from there. A
        sender that is slow is not waited for in here: its request calls this for every few
        pieces, so that in between the upload is nobody's.

        Args:
            upload_id: Which upload.
            chunks: The bytes that follow.
            offset: Where they follow: must be what has been received.
            limit: Most bytes the upload may have; beyond it, what came since ``begin`` is dropped.
            begin: Where the request's first bytes are; left out, at ``offset``.

        Raises:
            UploadNotFound: no such upload.
            UploadBusy: another request is writing to it.
            UploadOffsetMismatch: the upload does not stand at ``offset``.
            FileTooLarge: it would be longer than ``limit``.
        """
        with self._locked_upload(upload_id) as file:
            received = file.seek(0, os.SEEK_END)
            if offset != received:
                raise UploadOffsetMismatch(
                    f"upload {upload_id} has {received} bytes: go on from there, not from {offset}"
                )
            return streams.append(
                file, chunks, begin=received if begin is None else begin, limit=limit
            )

    def adopt_upload(
        self, upload_id: str, *, expected_size: int, holds: ExitStack | None = None
    ) -> StoredFile:
        """Turn a finished upload into a stored file; ``holds`` as in ``put``.

        Raises:
            FileBusy: the same bytes are being removed.
            UploadNotFound: no such upload.
            UploadBusy: another request is writing to it.
            UploadOffsetMismatch: it does not have ``expected_size`` bytes yet.
        """
        path = self._existing_upload(upload_id)
        with self._locked_upload(upload_id) as file:
            received = file.seek(0, os.SEEK_END)
            if received != expected_size:
                raise UploadOffsetMismatch(
                    f"upload {upload_id} has {received} of {expected_size} bytes: send the rest"
                )
            os.fsync(file.fileno())
            stored = StoredFile(sha256=streams.hash_file(path), size_bytes=received)
            with ExitStack() as own:
                (holds or own).enter_context(self.held(stored.sha256))
                self._adopt(path, stored.sha256)
        return stored

    def drop_upload(self, upload_id: str) -> None:
        """Delete an upload, if it exists."""
        self._upload(upload_id).unlink(missing_ok=True)

    @property
    def content_folder(self) -> Path:
        """The folder of stored files, by the first two digits of their digests."""
        return self.folder / "sha256"

    @property
    def temporary_folder(self) -> Path:
        """The folder of files that are arriving."""
        return self.folder / "temporary"

    @property
    def uploads_folder(self) -> Path:
        """The folder of unfinished uploads, by their ids."""
        return self.folder / "uploads"

    @property
    def locks_folder(self) -> Path:
        """The folder of the empty files on which digests are locked."""
        return self.folder / "locks"

    def is_held(self, sha256: str) -> bool:
        """Return whether somebody is storing or removing these bytes, or others of a like digest.

        Nothing is written to find out, so it may be wrong a moment later; ``alone`` is exact.
        """
        try:
            with self._lock_file(sha256).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock(self, sha256: str, kind: int, *, seconds: float) -> BinaryIO | None:
        """Return the open lock file of these bytes, or None if the lock is not free in time.

        Locks are permanent files of their own, one for all digests with the same beginning.
        """
        place = self._lock_file(sha256)
        private.make_folder(place.parent)
        file = private.open_file(place, "ab")
        ends = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() >= ends:
                    file.close()
                    return None
            time.sleep(_LOCK_POLL_SECONDS)

    def _lock_file(self, sha256: str) -> Path:
        return self.locks_folder / self._place(sha256).name[:_LOCK_DIGITS]

    def _adopt(self, path: Path, sha256: str) -> None:
        place = self._place(sha256)
        private.make_folder(place.parent)
        # Replaces an equal file too: that heals one that has become corrupt.
        path.replace(place)
        streams.sync_folder(place.parent)

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ArtifactNotFound(f"{sha256[:80]!r} is not a SHA-256 in lower-case hex")
        return self.content_folder / sha256[:2] / sha256

    def _upload(self, upload_id: str) -> Path:
        if not _UPLOAD.fullmatch(upload_id):
            raise UploadNotFound(f"{upload_id[:80]!r} is not the id of an upload")
        return self.uploads_folder / upload_id

    def _existing_upload(self, upload_id: str) -> Path:
        path = self._upload(upload_id)
        if not path.is_file():
            raise UploadNotFound(f"no upload {upload_id}")
        return path

    @contextmanager
    def _locked_upload(self, upload_id: str) -> Iterator[BinaryIO]:
        with self._existing_upload(upload_id).open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another request is writing to upload {upload_id}"
                raise UploadBusy(message) from error
            yield file


def record(session: Session, stored: StoredFile) -> None:
    """Register a stored file in the database, or note that a registered one arrived again.

    Nobody can forget it before the end of the transaction, in which something may refer to it.
    """
    values = {
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "created_at": clock.utc_now(),
    }
    insert_or_renew(session, FileRecord, values, renewed="created_at")


def lock(session: Session, sha256: str) -> FileRecord | None:
    """Return the file's row, locked until the end of the transaction."""
    # NO KEY UPDATE: rows that come to refer to the file need not wait.
    return session.get(
        FileRecord, sha256, with_for_update={"key_share": True}, populate_existing=True
    )


def forget(session: Session, sha256: str) -> bool:
    """Delete the file's row if nothing refers to it. Returns True if it was deleted.

    Finished uploads do not count: the caller forgets them too.
    """
    if references.keeping(session, [sha256], besides_uploads=True):
        return False
    return delete_row(session, sha256)


def delete_row(session: Session, sha256: str) -> bool:
    """Delete a row that seemed unreferenced. Returns False if the database has a reference."""
    try:
        with session.begin_nested():
            session.execute(delete(FileRecord).where(FileRecord.sha256 == sha256))
    except IntegrityError:
        return False  # a reference was committed after the look
    return True
