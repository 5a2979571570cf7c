"""Read and write streams of bytes, counting and hashing them on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from store.errors import FileCorrupt, FileTooLarge

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that is in the store."""

    sha256: str
    size_bytes: int


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append(file: BinaryIO, chunks: Iterable[bytes], *, begin: int, limit: int) -> int:
    """Append the chunks to the file and return its new size.

    Beyond ``limit`` it cuts the file back to ``begin`` and raises FileTooLarge.
    """
    size = file.seek(0, os.SEEK_END)
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            file.truncate(begin)
            raise FileTooLarge(f"the upload is larger than its {limit} bytes")
        file.write(chunk)
    return size


def read(path: Path, *, start: int, end: int | None) -> Iterator[bytes]:
    """Yield the bytes from ``start`` to ``end`` (exclusive), in pieces of at most 1 MiB."""
    with path.open("rb") as file:
        left = (path.stat().st_size if end is None else end) - file.seek(start)
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def read_checked(path: Path, sha256: str) -> Iterator[bytes]:
    """Yield the whole file, the last piece only if the digest is right; else raise FileCorrupt."""
    digest, held_back = hashlib.sha256(), b""
    for chunk in read(path, start=0, end=None):
        if held_back:
            yield held_back
        digest.update(chunk)
        held_back = chunk
    check_digest(digest.hexdigest(), sha256)
    yield held_back


def check_digest(found: str, sha256: str) -> None:
    """Raise FileCorrupt unless the digests are equal."""
    if found != sha256:
        raise FileCorrupt(f"the stored file {sha256} now has SHA-256 {found}")


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable against power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
