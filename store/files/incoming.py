"""A file that arrives piece by piece from a sender who may never send the rest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from featherweight.system import private
from store.errors import FileTooLarge
from store.files.streams import StoredFile


class Incoming:
    """A temporary file and the digest of its content so far.

    Every method is short: nothing here waits for the next piece. Different threads may write the
    pieces, one after the other. The file is locked until it is dropped; an unlocked one is left
    over from a killed process.
    """

    def __init__(self, path: Path, *, limit: int) -> None:
        """Create the file, which may have up to ``limit`` bytes."""
        self.path = path
        self.size_bytes = 0
        self._limit = limit
        self._digest = hashlib.sha256()
        self._file = private.open_file(path, "xb")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, piece: bytes) -> None:
        """Write the next piece. Raises FileTooLarge beyond the limit."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit:
            raise FileTooLarge(f"the file is larger than the limit of {self._limit} bytes")
        self._digest.update(piece)
        self._file.write(piece)

    @property
    def output(self) -> BinaryIO:
        """The open file, for another process to write; then call ``measure``."""
        return self._file

    def measure(self) -> None:
        """Count and hash what another process has written. Raises FileTooLarge beyond the limit."""
        self.size_bytes = self.path.stat().st_size
        if self.size_bytes > self._limit:
            raise FileTooLarge(f"the file is larger than the limit of {self._limit} bytes")
        with self.path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256")

    def finish(self) -> StoredFile:
        """Sync everything to disk. Returns what the file is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return StoredFile(sha256=self._digest.hexdigest(), size_bytes=self.size_bytes)

    def drop(self) -> None:
        """Remove the temporary file, if it is still there."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def incoming(folder: Path, *, limit: int) -> Iterator[Incoming]:
    """Yield a new file in ``folder``, and remove it afterwards unless it has been moved away."""
    found = begin(folder, limit=limit)
    try:
        yield found
    finally:
        found.drop()


def begin(folder: Path, *, limit: int) -> Incoming:
    """Return a new file in ``folder``. The caller must ``drop`` it at the end."""
    private.make_folder(folder)
    return Incoming(folder / uuid.uuid4().hex, limit=limit)
