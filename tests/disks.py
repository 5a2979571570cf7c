"""Small disks for tests: file systems of their own that can be filled or made read-only."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PIECE = bytes(4096)


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system of a few MiB."""

    folder: Path

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take all of its room, or all but so many bytes."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            try:
                while file.write(_PIECE):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            size = file.seek(0, 2)
            file.truncate(max(0, size - leave_bytes))

    def make_room(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink()

    def allow_writing(self, allowed: bool) -> None:
        """Make it read-only, or writable again."""
        mode = "rw" if allowed else "ro"
        _run("mount", "-o", f"remount,{mode}", str(self.folder))


@contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount one; the test is skipped where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can be mounted by root only")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that is ending may hold a file of it.
        _run("umount", "-l", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
