"""This worker's own disk: full, read-only or broken is no fault of a trial. No torch."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from featherweight.transport import RetryPolicy

WAIT = RetryPolicy(attempts=None, base_seconds=1.0, most_seconds=60.0)
"""Pauses before the next claim, longer with every trial in a row that the disk has cost."""
_OURS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ESTALE,
    }
)
_PROBE_BYTES = 1 << 20


def trouble(error: BaseException | None) -> str | None:
    """What the error, or one that it comes from, says of this machine; None: nothing."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _OURS:
            return str(error)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written in the folder or where temporary files go; None if it can.

    Libraries that write files themselves tell of a full disk in errors of their own.
    """
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            _probe(place)
        except OSError as error:
            return str(error)
    return None


def _probe(folder: Path) -> None:
    path = folder / f".probe-{uuid4().hex}"
    try:
        with path.open("xb") as file:
            for piece in _pieces():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _pieces() -> Iterator[bytes]:
    # Not zeros: a file system that compresses would find room for them.
    piece = os.urandom(1 << 16)
    return (piece for _ in range(_PROBE_BYTES // len(piece)))
