"""Files and folders that only their owner may read: models, data and secrets lie in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Literal

FILE, FOLDER = 0o600, 0o700
OTHERS = 0o077
"""Bits of a mode that let somebody else in."""


def guard_process() -> None:
    """Let nobody else read what this process, or one that it starts, makes from now on."""
    os.umask(OTHERS)


def make_folder(path: Path) -> None:
    """Make the folder if it is missing, with the missing ones above it, for its owner only."""
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
    """Make an empty file for its owner only, unless there is one."""
    open_file(path, "ab").close()


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, FILE)
