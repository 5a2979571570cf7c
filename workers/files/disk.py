"""Recognise problems of this worker's own disk: no trial is to blame for them. No torch."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from featherweight.client.transport import RetryPolicy
from featherweight.system import disks

WAIT = RetryPolicy(attempts=None, base_seconds=1.0, most_seconds=60.0)
"""Pauses before the next claim, longer with every consecutive trial that the disk has cost."""
_OURS = disks.FULL | {errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE}
_PROBE_BYTES = 1 << 20


def trouble(error: BaseException | None) -> str | None:
    """Return what the error, or a cause of it, says about this machine; None if nothing."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _OURS:
            return str(error)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def unwritable(folder: Path) -> str | None:
    """Return why the folder or the temporary folder is not writable; None if both are.

    Libraries that write files themselves report a full disk by errors of their own.
    """
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            disks.probe(place, num_bytes=_PROBE_BYTES)
        except OSError as error:
            return str(error)
    return None
