"""Name the format of a file by its bytes, of which at most half a megabyte is read. Torch-free.

Nothing is unpacked and nothing is opened by a parser: a zip is known by the names in its directory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO

_HEAD_BYTES = 4096
_TAIL_BYTES = 22 + 65_535
"""The end of a zip: its last record and the longest comment."""
_DIRECTORY_BYTES = 256 * 1024
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_LOCAL_FIXED, _CENTRAL_FIXED, _END_FIXED = 30, 46, 22
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


class FileFormat(StrEnum):
    """A kind of file that people send."""

    EMPTY = "empty"
    ONNX = "ONNX"
    SAFETENSORS = "safetensors"
    TORCH = "PyTorch checkpoint"
    TORCHSCRIPT = "TorchScript module"
    TORCH_EXPORT = "exported PyTorch program"
    PICKLE = "pickle"
    KERAS = "Keras model"
    HDF5 = "HDF5"
    TFLITE = "TFLite model"
    NPZ = "npz archive"
    NPY = "single npy array"
    PICTURES = "zip archive of pictures"
    PICTURE = "picture"
    ZIP = "zip archive"
    TAR = "tar archive"
    COMPRESSED = "compressed file"
    PARQUET = "Parquet table"
    MATLAB = "MATLAB file"
    TEXT = "text"
    UNKNOWN = "unknown"


_MAGIC: tuple[tuple[int, bytes, FileFormat], ...] = (
    (0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileFormat.TORCH),
    (0, b"\x89HDF\r\n\x1a\n", FileFormat.HDF5),
    (0, b"\x93NUMPY", FileFormat.NPY),
    (0, b"PAR1", FileFormat.PARQUET),
    (0, b"PARE", FileFormat.PARQUET),
    (0, b"MATLAB ", FileFormat.MATLAB),
    (0, b"\x89PNG\r\n\x1a\n", FileFormat.PICTURE),
    (0, b"\xff\xd8\xff", FileFormat.PICTURE),
    (0, b"GIF8", FileFormat.PICTURE),
    (8, b"WEBP", FileFormat.PICTURE),
    (0, b"II*\x00", FileFormat.PICTURE),
    (0, b"MM\x00*", FileFormat.PICTURE),
    (0, b"\x1f\x8b\x08", FileFormat.COMPRESSED),
    (0, b"BZh", FileFormat.COMPRESSED),
    (0, b"\xfd7zXZ\x00", FileFormat.COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", FileFormat.COMPRESSED),
    (0, b"7z\xbc\xaf\x27\x1c", FileFormat.COMPRESSED),
    (0, b"Rar!\x1a\x07", FileFormat.COMPRESSED),
    (4, b"TFL3", FileFormat.TFLITE),
    (257, b"ustar", FileFormat.TAR),
    (8, b"{", FileFormat.SAFETENSORS),
)
"""Offset, bytes and format; the first that is there counts."""
_ONNX_NEXT = frozenset((0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72))
"""Keys that follow the version in an ONNX file: producer, domain, documentation, graph, opset."""
_PICKLE_PROTOCOLS = range(2, 6)
_IR_VERSIONS = range(3, 31)
_KERAS_MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})


def recognise(path: Path) -> FileFormat:
    """Return the format of a file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith((_LOCAL, _END)):
            return _of_zip(zip_names(file))
    return _of_head(head)


def zip_names(file: IO[bytes]) -> tuple[str, ...]:
    """Return names in a zip archive: that of its first member, and those its directory begins with.

    What cannot be read has no names.
    """
    return (*_first_name(file), *_directory_names(_directory(file)))


def _of_head(head: bytes) -> FileFormat:
    if not head:
        return FileFormat.EMPTY
    for offset, magic, found in _MAGIC:
        if head.startswith(magic, offset):
            return found
    if head[0] == 0x80 and len(head) > 1 and head[1] in _PICKLE_PROTOCOLS:
        return FileFormat.PICKLE
    if _is_onnx(head):
        return FileFormat.ONNX
    return FileFormat.TEXT if _is_text(head) else FileFormat.UNKNOWN


def _is_onnx(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x08 and head[1] in _IR_VERSIONS and head[2] in _ONNX_NEXT


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode() if len(head) == _HEAD_BYTES else head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut at the end of what was read.
        if len(head) < _HEAD_BYTES or error.start < len(head) - 8:
            return False
    return _CONTROL.search(head) is None


def _of_zip(names: Collection[str]) -> FileFormat:
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        is_script = "constants.pkl" in last
        return FileFormat.TORCHSCRIPT if is_script else FileFormat.TORCH
    if "archive_format" in last or "serialized_exported_program.json" in last:
        return FileFormat.TORCH_EXPORT
    if last >= _KERAS_MEMBERS:
        return FileFormat.KERAS
    if any(name.endswith(".npy") for name in last):
        return FileFormat.NPZ
    pictured = any(name.lower().endswith(PICTURE_SUFFIXES) for name in last)
    return FileFormat.PICTURES if pictured else FileFormat.ZIP


def _first_name(file: IO[bytes]) -> Iterator[str]:
    file.seek(0)
    fixed = file.read(_LOCAL_FIXED)
    if fixed.startswith(_LOCAL) and len(fixed) == _LOCAL_FIXED:
        (length,) = struct.unpack_from("<H", fixed, 26)
        yield file.read(length).decode("utf-8", "replace")


def _directory(file: IO[bytes]) -> bytes:
    """Return how the directory begins; nothing of one that is not where the last record says."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_FIXED:
        return b""
    length, _ = struct.unpack_from("<2I", tail, end + 12)
    begin = size - len(tail) + end - length
    if begin < 0:
        return b""
    file.seek(begin)
    return file.read(min(length, _DIRECTORY_BYTES))


def _directory_names(directory: bytes) -> Iterator[str]:
    place = 0
    while directory.startswith(_CENTRAL, place) and len(directory) - place >= _CENTRAL_FIXED:
        name, extra, comment = struct.unpack_from("<3H", directory, place + 28)
        begin = place + _CENTRAL_FIXED
        yield directory[begin : begin + name].decode("utf-8", "replace")
        place = begin + name + extra + comment
