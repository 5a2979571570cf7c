"""Disks that are full or broken: what the system says, and a look by writing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import uuid4

from featherweight.system import private

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of errors that say that there is no room."""


def probe(folder: Path, *, num_bytes: int) -> None:
    """Write so many bytes into the folder, sync and read them, and remove them. Raises OSError."""
    # Not zeros: a file system that compresses would find room for them.
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
