"""Texts with the ``tokenizer.json`` that cuts them, in one zip file. Torch-free."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from compress.tasks.formats import npz
from compress.tasks.formats.words import MOST_TOKENIZER_BYTES
from compress.values.errors import InvalidData
from compress.values.shown import some

TOKENIZER_FILE: Final = "tokenizer.json"
_MOST_FILES = 2
_PART_BYTES = 2**16
_EXPECTED = (
    f"a zip of texts has two files: {TOKENIZER_FILE} and one of csv, jsonl or parquet "
    "(featherweight datasets add FILE --tokenizer tokenizer.json makes it)"
)


@contextmanager
def opened(path: Path, *, caution: npz.Caution | None = None) -> Iterator[tuple[bytes, Path]]:
    """Yield the tokenizer and a file of the texts, which goes away afterwards.

    Raises InvalidData for a zip of other files, or of larger ones than may be.
    """
    try:
        with npz.CautiousFile(path) as file, zipfile.ZipFile(file) as archive:
            tokenizer, texts = _members(archive)
            most = npz.MAX_BYTES if caution is None else caution.most_bytes(path.stat().st_size)
            if texts.file_size > min(most, npz.MAX_BYTES):
                raise InvalidData(
                    f"{texts.filename[:80]!r} takes {texts.file_size:,} bytes unpacked, more than "
                    f"{min(most, npz.MAX_BYTES):,}"
                )
            content = _content(archive, tokenizer)
            with tempfile.TemporaryFile() as target:
                with archive.open(texts) as source:
                    shutil.copyfileobj(source, target)
                target.flush()
                # Opened anew by this name, it is read from its beginning, and it has no other one.
                yield content, Path(f"/dev/fd/{target.fileno()}")
    except npz.BROKEN as error:
        raise InvalidData(f"the zip cannot be read: {error}") from error


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a file, of a long one as much as tells that it is too long."""
    found = bytearray()
    with archive.open(entry) as source:
        while len(found) <= MOST_TOKENIZER_BYTES and (part := source.read(_PART_BYTES)):
            found += part
    return bytes(found)


def _members(archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo]:
    entries = archive.infolist()
    names = [entry.filename[:80] for entry in entries[:10]]
    if len(entries) != _MOST_FILES or names.count(TOKENIZER_FILE) != 1:
        raise InvalidData(f"{_EXPECTED}; it has {some(names)}")
    if any(entry.flag_bits & 1 or entry.is_dir() for entry in entries):
        raise InvalidData(f"{_EXPECTED}; one is encrypted, or a folder")
    first, second = entries
    return (first, second) if first.filename == TOKENIZER_FILE else (second, first)
