"""Files by digest on this machine: downloaded once, verified on use, the oldest dropped first.

What is made of such a file, once for all who need it, is kept beside it in the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from featherweight.client.transport import file_digest

Fetch = Callable[[str, Path], None]
"""``fetch(sha256, target)`` puts the verified file at ``target``, whole or not at all."""
Make = Callable[[Path, Path], None]
"""``make(source, target)`` writes to ``target`` what it makes of the file ``source``."""
_log = logging.getLogger(__name__)


class Cache:
    """A folder of content-addressed files that several workers may share.

    Each file has two locks: one that its users share and that dropping it takes exclusively, and
    one for fetching it. The kernel releases both when a process ends.
    """

    def __init__(self, folder: Path, *, fetch: Fetch, limit_bytes: int) -> None:
        self._folder = folder
        self._fetch = fetch
        self._limit_bytes = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def hold(self, sha256: str) -> Iterator[Path]:
        """Yield the file with this digest, which nobody drops before the context ends."""
        path = self._folder / sha256
        with self._locked(f"{sha256}.use", fcntl.LOCK_SH):
            if not _is_whole(path):
                self._fetch_once(path)
            self._used(path)
            yield path

    @contextmanager
    def hold_made(self, sha256: str, kind: str, make: Make) -> Iterator[Path]:
        """Yield what ``make`` makes of the file with this digest, held as that one would be.

        Equal ``kind`` means that equal files give equal results: it is made once, and the file
        itself is needed only then. Raises what fetching and ``make`` raise.
        """
        name = hashlib.sha256(f"{kind} {sha256}".encode()).hexdigest()
        path = self._folder / name
        with self._locked(f"{name}.use", fcntl.LOCK_SH):
            if not _is_as_made(path):
                self._make_once(path, sha256, make)
            self._used(path)
            yield path

    def size_bytes(self) -> int:
        """Return the total size of all files here."""
        return sum(path.stat().st_size for path in self._files())

    def _fetch_once(self, path: Path) -> None:
        with self._locked(f"{path.name}.fetch", fcntl.LOCK_EX):
            if not _is_whole(path):
                self._fetch(path.name, path)

    def _make_once(self, path: Path, sha256: str, make: Make) -> None:
        part = path.with_name(f"{path.name}.part")
        with self._locked(f"{path.name}.fetch", fcntl.LOCK_EX):
            if _is_as_made(path):
                return
            try:
                with self.hold(sha256) as source:
                    make(source, part)
                _digest_path(path).write_text(file_digest(part))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def _used(self, path: Path) -> None:
        # Files are used by reading: the time of the last use has to be set by hand.
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        excess = self.size_bytes() - self._limit_bytes
        for path in sorted(self._files(), key=lambda path: path.stat().st_atime_ns):
            if excess <= 0:
                return
            size = path.stat().st_size
            if self._dropped(path):
                excess -= size

    def _dropped(self, path: Path) -> bool:
        try:
            with self._locked(f"{path.name}.use", fcntl.LOCK_EX | fcntl.LOCK_NB):
                path.unlink(missing_ok=True)
                _digest_path(path).unlink(missing_ok=True)
        except BlockingIOError:
            return False  # in use
        _log.info("dropped %s from the cache to keep within %d bytes", path.name, self._limit_bytes)
        return True

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if len(path.name) == 64]

    @contextmanager
    def _locked(self, name: str, kind: int) -> Iterator[None]:
        lock = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, kind)
            yield
        finally:
            os.close(lock)


def _is_whole(path: Path) -> bool:
    return path.exists() and file_digest(path) == path.name


def _is_as_made(path: Path) -> bool:
    digest = _digest_path(path)
    return path.exists() and digest.exists() and file_digest(path) == digest.read_text()


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.digest")
