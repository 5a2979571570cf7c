"""A bounded reader of safetensors headers: what tensors a file holds, without reading them."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from compress.values.errors import InvalidWeights

MAX_HEADER_BYTES = 16 * 2**20
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
MAX_METADATA = 1000
_MAX_SIDE = 2**40
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}


@dataclass(frozen=True, kw_only=True)
class TensorHeader:
    """One tensor: dtype (F32, F16, BF16 or I64), shape, and where its bytes begin and end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read(path: Path) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file by name.

    Raises InvalidWeights unless the header is bounded, well formed, and describes every byte of
    the file exactly once.
    """
    document, data_bytes = _read_document(path)
    _check_metadata(document.pop("__metadata__", {}))
    tensors = {name: _tensor(name, entry) for name, entry in document.items()}
    _check_layout(tensors, data_bytes)
    return tensors


def data_begin(file: IO[bytes]) -> int:
    """Where the tensors' bytes begin in a file whose header was read before."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    return 8 + length


def _check_metadata(metadata: object) -> None:
    """Raises InvalidWeights unless it is what the format says: texts by name."""
    if not isinstance(metadata, dict):
        raise InvalidWeights("__metadata__ must be a JSON object of texts")
    if len(metadata) > MAX_METADATA:
        raise InvalidWeights(f"__metadata__ has {len(metadata)} keys, more than {MAX_METADATA}")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise InvalidWeights(
                f"__metadata__ must hold texts, {key[:80]!r} is {type(value).__name__}"
            )


def _read_document(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise InvalidWeights(f"a safetensors file has at least 8 bytes, got {len(prefix)}")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(MAX_HEADER_BYTES, size - 8):
            raise InvalidWeights(
                f"the safetensors header claims {length} bytes, expected at most "
                f"{min(MAX_HEADER_BYTES, size - 8)}"
            )
        return _parse(file.read(length)), size - 8 - length


def _parse(header: bytes) -> dict[str, Any]:
    # An object and two lists for each tensor: what has more would fill the memory once it is read.
    if header.count(b"{") + header.count(b"[") > 3 * MAX_TENSORS or header.count(b",") > (
        (MAX_DIMENSIONS + 4) * MAX_TENSORS
    ):
        raise InvalidWeights(
            f"the safetensors header is not JSON that describes at most {MAX_TENSORS} tensors"
        )
    try:
        # Only UTF-8, as the format says, and without halves of surrogate pairs.
        document = json.loads(header.decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise InvalidWeights(f"the safetensors header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidWeights("the safetensors header must be a JSON object")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name occurs twice")
    for name, value in pairs:
        for text in (name, value):
            if isinstance(text, str):
                _check_text(text)
    return document


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("a text holds the zero character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half a surrogate pair") from error


def _tensor(name: str, entry: object) -> TensorHeader:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidWeights(f"tensor {name[:80]!r} must say dtype, shape and data_offsets")
    dtype, offsets = entry["dtype"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise InvalidWeights(
            f"tensor {name[:80]!r} has dtype {str(dtype)[:20]!r}, expected {', '.join(_ITEM_BYTES)}"
        )
    shape = _integers(name, entry["shape"], at_most=MAX_DIMENSIONS)
    begin_end = _integers(name, offsets, at_most=2)
    size = math.prod(shape) * _ITEM_BYTES[dtype]
    if len(begin_end) != 2 or begin_end[1] - begin_end[0] != size:
        raise InvalidWeights(
            f"tensor {name[:80]!r} of {dtype}{list(shape)} needs {size} bytes, its offsets are "
            f"{list(begin_end)}"
        )
    return TensorHeader(dtype=dtype, shape=shape, begin=begin_end[0], end=begin_end[1])


def _integers(name: str, value: object, *, at_most: int) -> tuple[int, ...]:
    items: list[object] = value if isinstance(value, list) else [None]
    numbers = [item for item in items if type(item) is int and 0 <= item <= _MAX_SIDE]
    if len(numbers) != len(items) or len(items) > at_most:
        raise InvalidWeights(
            f"shape and data_offsets of tensor {name[:80]!r} must be lists of at most {at_most} "
            f"natural numbers"
        )
    return tuple(numbers)


def _check_layout(tensors: dict[str, TensorHeader], data_bytes: int) -> None:
    expected = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != expected:
            raise InvalidWeights(
                f"tensor {name[:80]!r} must begin at byte {expected}, it begins at {tensor.begin}: "
                "no gaps, no overlaps"
            )
        expected = tensor.end
    if expected != data_bytes:
        raise InvalidWeights(f"the tensors take {expected} bytes, the file holds {data_bytes}")
