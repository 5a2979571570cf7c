"""Read npz archives from strangers within bounds, without pickle or trust in declared numbers.

Every limit is checked before memory is allocated for what it limits. Only what ``numpy.savez`` and
``numpy.savez_compressed`` write is read: stored or deflated members in npy format version 1.0.
"""

from __future__ import annotations

import io
import math
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats.watching import Watch
from compress.values.errors import InvalidData

MAX_BYTES = 4 * 2**30
MAX_MEMBERS = 16
MOST_RATIO = 200
"""Most unpacked bytes per byte of a stranger's file: drawn digits have about 20, a bomb 1000."""
CHUNK_BYTES = 1 << 20
FREELY_UNPACKED_BYTES = 256 * 2**20
"""So much is unpacked of any archive, however small: data may be zeros and constants."""
_MAX_HEADER_BYTES = 4096
_MAGIC = b"\x93NUMPY\x01\x00"
_ENCRYPTED = 0x1
_HEADER = re.compile(
    r"\s*\{\s*'descr'\s*:\s*'(?P<descr>[<>|=]?[A-Za-z]\d{0,4})'\s*,"
    r"\s*'fortran_order'\s*:\s*(?P<fortran>True|False)\s*,"
    r"\s*'shape'\s*:\s*\((?P<shape>[\d, ]{0,160})\)\s*(?:,\s*)?\}\s*"
)
_DTYPES = {
    **{descr: np.dtype("u1") for descr in ("|u1", "u1", "<u1", ">u1", "=u1")},
    **{descr: np.dtype("i1") for descr in ("|i1", "i1", "<i1", ">i1", "=i1")},
    **{
        f"{order}{kind}": np.dtype(f"{order}{kind}")
        for order in "<>"
        for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f4")
    },
}
_WIDE = re.compile(r"[<>|=]?(?P<kind>[biufSU])(?P<size>\d{1,4})")
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
_LONGEST_TEXT = 400
"""Bytes or characters of a text."""
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""All that ``zipfile`` raises on archives that are not what they say (found by fuzzing it)."""


@dataclass(frozen=True, kw_only=True)
class ArrayHeader:
    """The declared contents of a member; its size agrees with the archive's directory."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int

    @property
    def num_bytes(self) -> int:
        """The number of bytes of the array's data."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True)
class Caution:
    """The limits on what a stranger's archive may cost when it is unpacked for the first time.

    ``watch`` is told how far that is.
    """

    most_ratio: float
    seconds: float
    watch: Watch = field(default_factory=Watch, compare=False)

    def most_bytes(self, packed_bytes: int) -> int:
        """Return how many bytes a file of so many may become."""
        return max(FREELY_UNPACKED_BYTES, int(packed_bytes * self.most_ratio))


class CautiousFile(io.FileIO):
    """A file that never returns more than ``most_bytes`` at once.

    ``zipfile`` reads a directory in one go, with a length that the archive itself declares, and
    makes an object per entry: a 4 GiB directory would take all memory before any check of ours.
    """

    def __init__(self, path: Path, *, most_bytes: int = CHUNK_BYTES) -> None:
        """Open the file."""
        super().__init__(path)
        self._most_bytes = most_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Read the next bytes. Raises InvalidData for more than may be read at once."""
        if size is None or size < 0:
            size = self._most_bytes
        if size > self._most_bytes:
            raise InvalidData(
                f"the zip directory must not exceed {self._most_bytes} bytes, got {size}"
            )
        return super().read(size) or b""


class Archive:
    """An open npz file. ``arrays`` holds the header of every member by name."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        *,
        names: Container[str],
        max_bytes: int,
        caution: Caution | None = None,
        wide: Container[str] = (),
    ) -> None:
        self._zip = archive
        self._wide = wide
        self._seconds = None if caution is None else caution.seconds
        self._watch = Watch() if caution is None else caution.watch
        self._begin = time.monotonic()
        entries = _checked_entries(archive, names, max_bytes)
        self._entries = {_name(entry): entry for entry in entries}
        self.arrays = {name: self._header(name) for name in self._entries}

    def chunks(self, name: str) -> Iterator[NDArray[np.generic]]:
        """Yield the array's values in order, flat, about a megabyte at a time.

        The archive's checksum is verified when the last chunk has been taken.
        """
        header = self.arrays[name]
        with _reading(name), self._zip.open(self._entries[name]) as stream:
            stream.read(header.offset)
            for size in _chunk_sizes(header):
                self._check_time()
                self._watch.did(size)
                yield np.frombuffer(_exactly(stream, size), header.dtype)
            if stream.read(1):
                raise InvalidData(f"{name} holds more data than its shape {header.shape} says")

    def rows(self, name: str) -> Iterator[NDArray[np.generic]]:
        """Yield the array along its first axis, some whole rows at a time, at least one."""
        shape = self.arrays[name].shape
        size, waiting, held = math.prod(shape[1:]), list[NDArray[np.generic]](), 0
        for chunk in self.chunks(name):
            waiting.append(chunk)
            held += len(chunk)
            if held >= size > 0:
                flat = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                whole = held // size * size
                waiting, held = [flat[whole:]], held - whole
                yield flat[:whole].reshape(-1, *shape[1:])

    def expect(self, names: Iterable[str], *, times: int = 1) -> None:
        """Tell who watches that these arrays will be read so many times."""
        self._watch.expect(times * sum(self.arrays[name].num_bytes for name in names))

    def read(self, name: str) -> NDArray[np.generic]:
        """Return the whole array."""
        header = self.arrays[name]
        flat = np.empty(math.prod(header.shape), header.dtype)
        start = 0
        for chunk in self.chunks(name):
            flat[start : start + len(chunk)] = chunk
            start += len(chunk)
        return flat.reshape(header.shape)

    def _check_time(self) -> None:
        if self._seconds is not None and time.monotonic() - self._begin > self._seconds:
            raise InvalidData(
                f"looking through the arrays takes longer than {self._seconds:g} seconds: upload "
                "fewer or smaller examples, or have the service's inspection_seconds raised"
            )

    def _header(self, name: str) -> ArrayHeader:
        entry = self._entries[name]
        with _reading(name), self._zip.open(entry) as stream:
            header = _parse_header(name, stream, is_wide=name in self._wide)
        if header.offset + header.num_bytes != entry.file_size:
            raise InvalidData(
                f"{name} has shape {header.shape} of {header.dtype}, which is {header.num_bytes} "
                f"bytes, but the archive holds {entry.file_size - header.offset}"
            )
        return header


@contextmanager
def open_archive(
    path: Path,
    *,
    names: Container[str],
    max_bytes: int = MAX_BYTES,
    caution: Caution | None = None,
    wide: Container[str] = (),
) -> Iterator[Archive]:
    """Open an npz file whose arrays must be among ``names``.

    Those among ``wide`` may have any type but objects: texts, truth values, every number.

    Raises InvalidData if it is no such archive or if its arrays exceed ``max_bytes`` together.
    With ``caution``, for files that have not been inspected yet, also raises InvalidData if they
    exceed by far what the file itself holds, or take too long to read.
    """
    most = max_bytes
    if caution is not None:
        most = min(most, caution.most_bytes(path.stat().st_size))
    with CautiousFile(path) as file:
        with _reading("the file"):
            zipped = zipfile.ZipFile(file)
            archive = Archive(zipped, names=names, max_bytes=most, caution=caution, wide=wide)
        yield archive


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise InvalidData(f"{what} is not a readable npz archive: {error}") from error


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.removesuffix(".npy")


def _checked_entries(
    archive: zipfile.ZipFile, names: Container[str], max_bytes: int
) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise InvalidData(f"the archive must hold at most {MAX_MEMBERS} arrays, got {len(entries)}")
    for entry in entries:
        _check_entry(entry, names)
    if len({entry.filename for entry in entries}) != len(entries):
        raise InvalidData("the archive holds the same name twice")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise InvalidData(
            f"the arrays take {total} bytes unpacked, the limit is {max_bytes} for a file of this "
            "size: numpy.savez, without compression, makes larger files"
        )
    return entries


def _check_entry(entry: zipfile.ZipInfo, names: Container[str]) -> None:
    if not entry.filename.endswith(".npy") or _name(entry) not in names:
        known = sorted(names) if isinstance(names, frozenset) else names
        raise InvalidData(f"unknown array {entry.filename[:80]!r}, expected {known}")
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidData(f"{entry.filename} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidData(
            f"{entry.filename} must be stored or deflated, got method {entry.compress_type}"
        )


def _parse_header(name: str, stream: IO[bytes], *, is_wide: bool) -> ArrayHeader:
    magic = _exactly(stream, len(_MAGIC))
    if magic != _MAGIC:
        raise InvalidData(f"{name} must be an npy file of version 1.0, it starts with {magic!r}")
    (length,) = struct.unpack("<H", _exactly(stream, 2))
    if length > _MAX_HEADER_BYTES:
        raise InvalidData(
            f"{name} must be a plain array, its header has {length} bytes, more than "
            f"{_MAX_HEADER_BYTES}"
        )
    text = _exactly(stream, length).decode("latin-1")
    match = _HEADER.fullmatch(text)
    if match is None:
        raise InvalidData(f"{name} must be a plain array, its header says {text[:120]!r}")
    if match["fortran"] == "True":
        raise InvalidData(f"{name} must be in C order: save numpy.ascontiguousarray of it")
    return ArrayHeader(
        name=name,
        shape=tuple(int(number) for number in re.findall(r"\d+", match["shape"])),
        dtype=_wide_dtype(name, match["descr"]) if is_wide else _dtype(name, match["descr"]),
        offset=len(_MAGIC) + 2 + length,
    )


def _dtype(name: str, descr: str) -> np.dtype[np.generic]:
    if descr not in _DTYPES:
        raise InvalidData(
            f"{name} has dtype {descr!r}, expected uint8 or float32 images and integer labels"
        )
    return _DTYPES[descr]


def _wide_dtype(name: str, descr: str) -> np.dtype[np.generic]:
    if descr.endswith("O"):
        raise InvalidData(
            f"{name} holds Python objects, which are pickled and never opened: save an array of "
            f"texts or numbers, as numpy.array(list({name})) makes"
        )
    match = _WIDE.fullmatch(descr)
    kind, size = (match["kind"], int(match["size"])) if match else ("", 0)
    if size not in _SIZES.get(kind, range(1, _LONGEST_TEXT + 1)) or match is None:
        raise InvalidData(
            f"{name} has dtype {descr!r}, expected numbers, truth values, or texts of at most "
            f"{_LONGEST_TEXT} characters"
        )
    return np.dtype(descr)


def _chunk_sizes(header: ArrayHeader) -> Iterator[int]:
    left, item = header.num_bytes, header.dtype.itemsize
    most = CHUNK_BYTES // item * item
    while left > 0:
        yield min(left, most)
        left -= most


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = stream.read(size)
        if not part:
            raise InvalidData("the archive ends in the middle of an array")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
