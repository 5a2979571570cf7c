"""Files and folders that only their owner may read, for models, data and secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

FILE, FOLDER = 0o600, 0o700
OTHERS = 0o077
"""Bits of a mode that let somebody else in."""


def guard_process() -> None:
    """Keep others from reading what this process and its children create from now on."""
    os.umask(OTHERS)


def make_folder(path: Path) -> None:
    """Create the folder and its missing parents for their owner only."""
    try:
        path.mkdir(mode=FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        make_folder(path.parent)
        make_folder(path)


def open_file(path: Path, mode: Literal["ab", "wb", "xb"]) -> BinaryIO:
    """Open a file to write; a new one is for its owner only."""
    return open(path, mode, opener=_opened)


def make_file(path: Path) -> None:
    """Create an empty file for its owner only, unless it exists."""
    open_file(path, "ab").close()


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, FILE)


def loose(root: Path) -> Iterator[Path]:
    """Yield the file or folder, and everything in it, that others may read, write or list."""
    folders = [root]
    if _is_loose(root):
        yield root
    while folders:
        folder = folders.pop()
        for path, is_folder in _inside(folder):
            if is_folder:
                folders.append(path)
            if _is_loose(path):
                yield path


def close(path: Path) -> bool:
    """Allow only the owner; False if this user may not change that, or the path is gone."""
    try:
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~OTHERS)
    except (FileNotFoundError, PermissionError):
        return False
    return True


def _inside(folder: Path) -> list[tuple[Path, bool]]:
    """Return the entries of a folder, none for a file. Links are not followed."""
    try:
        with os.scandir(folder) as entries:
            return [
                (Path(entry.path), entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.is_symlink()
            ]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _is_loose(path: Path) -> bool:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & OTHERS)
