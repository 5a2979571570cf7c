"""What an ONNX file says of itself, read without ONNX: ports, metadata, opset. Torch-free.

Only the wire format of protocol buffers is read (https://protobuf.dev/programming-guides/encoding);
field numbers are those of onnx.proto. Weights are stepped over, so a file of any size takes little
memory. Nothing is computed, and nothing that a file says is believed beyond its limits here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

from compress.values.errors import InvalidNetwork

_MOST_FIELDS = 500_000
"""Of a file; each node and each tensor is one."""
_LONGEST, _LONGEST_NODE = 2**20, 2**12
"""Bytes of one field that is read; a node that holds a tensor is stepped over."""
_MOST_BYTES = 2**26
"""Of all fields that are read, those within others counted again."""
_MOST_ENTRIES = 1000
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
}
_PASSES_ON = ("Cast", "Identity")


@dataclass(frozen=True, kw_only=True)
class HeaderPort:
    """A tensor that goes in or comes out; words, and ``?``, are axes of any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class OnnxHeader:
    """What stands in a file besides its weights.

    ``made_by`` maps the name of an output to the operator that computes it, type casts aside.
    """

    ir_version: int
    opset: int
    has_functions: bool
    inputs: tuple[HeaderPort, ...]
    outputs: tuple[HeaderPort, ...]
    metadata: dict[str, str]
    made_by: dict[str, str]


@dataclass
class _Found:
    ir_version: int = 0
    opset: int = 0
    has_functions: bool = False
    inputs: list[HeaderPort] = field(default_factory=list)
    outputs: list[HeaderPort] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)
    fields_left: int = _MOST_FIELDS
    bytes_left: int = _MOST_BYTES


def read(file: BinaryIO) -> OnnxHeader:
    """Read the header of a file that is open at its start and can be sought.

    Raises InvalidNetwork if it is no ONNX file, or one with more parts than are read.
    """
    found = _Found()
    file.seek(0, 2)
    end = file.tell()
    file.seek(0)
    try:
        _read_model(file, end, found)
    except (UnicodeDecodeError, EOFError, ValueError) as error:
        raise InvalidNetwork(f"the file is not an ONNX model: {error}") from error
    if not (found.ir_version and found.opset and found.inputs and found.outputs):
        raise InvalidNetwork("the file is not an ONNX model: it has no version, inputs or outputs")
    return OnnxHeader(
        ir_version=found.ir_version,
        opset=found.opset,
        has_functions=found.has_functions,
        inputs=tuple(found.inputs),
        outputs=tuple(found.outputs),
        metadata=found.metadata,
        made_by={port.name: _maker(port.name, found) for port in found.outputs},
    )


def _read_model(file: BinaryIO, end: int, found: _Found) -> None:
    for number, kind, value in _fields(file, end, found):
        match number, kind:
            case 1, 0:
                found.ir_version = value
            case 7, 2:
                _read_graph(file, file.tell() + value, found)
            case 8, 2:
                domain, version = _opset(_taken(file, value, found), found)
                found.opset = version if domain in ("", "ai.onnx") else found.opset
            case 14, 2:
                key, text = _entry(_taken(file, value, found), found)
                if len(found.metadata) >= _MOST_ENTRIES:
                    raise ValueError(f"more than {_MOST_ENTRIES} entries of metadata")
                found.metadata[key] = text
            case 25, 2:
                found.has_functions = True
            case _:
                pass


def _read_graph(file: BinaryIO, end: int, found: _Found) -> None:
    for number, kind, value in _fields(file, end, found):
        if kind != _BYTES:
            continue
        if number == 1 and value <= _LONGEST_NODE:
            _note(_taken(file, value, found), found)
        elif number == 11:
            found.inputs.append(_port(_taken(file, value, found), found))
        elif number == 12:
            found.outputs.append(_port(_taken(file, value, found), found))


def _note(node: bytes, found: _Found) -> None:
    """Remember which operator makes the node's first output, and from what."""
    parts = _parts(node, found)
    made, taken = (next(iter(parts.get(number, ())), b"").decode() for number in (2, 1))
    found.nodes[made] = (next(iter(parts.get(4, ())), b"").decode(), taken)


def _maker(name: str, found: _Found) -> str:
    for _ in found.nodes:
        operator, taken = found.nodes.get(name, ("", ""))
        if operator not in _PASSES_ON:
            return operator
        name = taken
    return ""


def _port(data: bytes, found: _Found) -> HeaderPort:
    parts = _parts(data, found)
    [name, type_] = (next(iter(parts.get(number, ())), b"") for number in (1, 2))
    [tensor, *_] = _parts(type_, found).get(1, (b"",))
    number, shape = 0, b""
    file = BytesIO(tensor)
    for at, kind, value in _fields(file, len(tensor), found):
        if (at, kind) == (1, _VARINT):
            number = value
        elif (at, kind) == (2, _BYTES):
            shape = _taken(file, value, found)
    dims = _parts(shape, found).get(1, ())
    return HeaderPort(
        name=name.decode(),
        dtype=_DTYPES.get(number, "other"),
        shape=tuple(_axis(dim, found) for dim in dims),
    )


def _axis(dim: bytes, found: _Found) -> int | str:
    file, size = BytesIO(dim), "?"
    for number, kind, value in _fields(file, len(dim), found):
        if (number, kind) == (1, _VARINT):
            return value
        if (number, kind) == (2, _BYTES):
            size = _taken(file, value, found).decode() or "?"
    return size


def _opset(data: bytes, found: _Found) -> tuple[str, int]:
    file, domain, version = BytesIO(data), "", 0
    for number, kind, value in _fields(file, len(data), found):
        if (number, kind) == (1, _BYTES):
            domain = _taken(file, value, found).decode()
        elif (number, kind) == (2, _VARINT):
            version = value
    return domain, version


def _entry(data: bytes, found: _Found) -> tuple[str, str]:
    parts = _parts(data, found)
    [key, value] = (next(iter(parts.get(number, ())), b"") for number in (1, 2))
    return key.decode(), value.decode()


def _parts(data: bytes, found: _Found) -> dict[int, list[bytes]]:
    """Return the fields of a message that are bytes, by number."""
    file, parts = BytesIO(data), {}
    for number, kind, value in _fields(file, len(data), found):
        if kind == _BYTES:
            parts.setdefault(number, []).append(_taken(file, value, found))
    return parts


def _fields(file: BinaryIO, end: int, found: _Found) -> Iterator[tuple[int, int, int]]:
    """Yield number, kind and value of each field; of bytes their length, and the file is there.

    Whatever the caller has read of them, the next field follows behind.
    """
    while file.tell() < end:
        found.fields_left -= 1
        if found.fields_left < 0:
            raise ValueError(f"it has more than {_MOST_FIELDS:,} parts")
        number, kind = divmod(_varint(file), 8)
        if kind == _VARINT:
            yield number, kind, _varint(file)
            continue
        size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if size is None:
            if kind != _BYTES:
                raise ValueError(f"a field of kind {kind}")
            size = _varint(file)
        after = file.tell() + size
        if after > end:
            raise EOFError("it ends within a field")
        yield number, kind, size
        file.seek(after)


def _taken(file: BinaryIO, size: int, found: _Found) -> bytes:
    found.bytes_left -= size
    if size > _LONGEST or found.bytes_left < 0:
        raise ValueError(f"names and texts of {size:,} bytes and more")
    return file.read(size)


def _varint(file: BinaryIO) -> int:
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            raise EOFError("it ends within a number")
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return value
    raise ValueError("a number of more than 64 bits")
