"""Detect disks that are full or broken, by error numbers and by writing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import uuid4

from featherweight.system import private

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk."""


def probe(folder: Path, *, num_bytes: int) -> None:
    """Write bytes into the folder, sync, read and remove them. Raises OSError."""
    # Not zeros, because a compressing file system would find room for them.
    path, content = folder / f".probe-{uuid4().hex}", os.urandom(num_bytes)
    try:
        with private.open_file(path, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.read_bytes() != content:
            raise OSError(errno.EIO, "the disk gives back other bytes than it was given")
    finally:
        path.unlink(missing_ok=True)
