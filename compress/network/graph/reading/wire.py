"""A file's messages are counted before they are parsed. Torch-free.

A field of two bytes can become an object of hundreds, and a byte of packed integers eight; so what
a file would take in memory is added up from its bytes alone, following ONNX's own schema.
Protocol Buffers encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from onnx import ModelProto

from compress.network.graph.reading.limits import FileLimits
from compress.values.errors import InvalidNetwork

_DEEPEST = 40
_LONG_WORDS = frozenset({"doc_string", "value", "producer_name", "producer_version"})
_NO_MODEL = "the file is not an ONNX model, or is cut short: export the network again"


def check(data: bytes, limits: FileLimits) -> None:
    """Raise InvalidNetwork if the file is no model, or parsing it would take too much memory."""
    scan = _Scan(data, limits)
    try:
        scan.run()
    except IndexError as error:
        raise InvalidNetwork(_NO_MODEL) from error


@dataclass(frozen=True)
class _Known:
    """A field of the schema: its message, its name, and what it holds."""

    owner: str
    name: str
    type: int
    message: Any


@functools.cache
def _fields(message: Any) -> dict[int, _Known]:
    return {
        number: _Known(message.name, each.name, each.type, each.message_type)
        for number, each in message.fields_by_number.items()
    }


@dataclass
class _Scan:
    data: bytes
    limits: FileLimits
    count: int = 0
    unpacked: int = 0
    position: int = 0
    open: list[tuple[int, Any]] = field(default_factory=list[tuple[int, Any]])

    def run(self) -> None:
        """Go over all fields of all messages once."""
        self.open = [(len(self.data), ModelProto.DESCRIPTOR)]
        while self.open:
            end, message = self.open[-1]
            if self.position < end:
                self._field(end, message)
            elif self.position == end:
                self.open.pop()
            else:
                raise InvalidNetwork(_NO_MODEL)

    def _field(self, end: int, message: Any) -> None:
        self.count += 1
        if self.count > self.limits.fields:
            raise InvalidNetwork(
                f"the file's messages have more than {self.limits.fields} fields: export a smaller "
                "network, with its weights as raw data"
            )
        key = self._varint()
        known = _fields(message).get(key >> 3)
        match key & 7:
            case 0:
                self._varint()
            case 1:
                self.position += 8
            case 5:
                self.position += 4
            case 2:
                self._bytes(end, known)
            case _:
                raise InvalidNetwork(_NO_MODEL)

    def _bytes(self, end: int, known: _Known | None) -> None:
        length = self._varint()
        inner = self.position + length
        if inner > end:
            raise InvalidNetwork(_NO_MODEL)
        if known is not None and known.type == FieldDescriptor.TYPE_MESSAGE:
            self._enter(inner, known)
            return
        if known is not None and known.type == FieldDescriptor.TYPE_STRING:
            self._check_word(known, length)
        elif known is not None and known.type != FieldDescriptor.TYPE_BYTES:
            self._check_numbers(known, length)
        self.position = inner

    def _enter(self, end: int, known: _Known) -> None:
        if len(self.open) >= _DEEPEST:
            raise InvalidNetwork(
                f"the file nests messages deeper than {_DEEPEST}: export without nested graphs"
            )
        self.open.append((end, known.message))

    def _check_word(self, known: _Known, length: int) -> None:
        if length > self.limits.name_bytes and known.name not in _LONG_WORDS:
            raise InvalidNetwork(
                f"a {known.owner}'s {known.name} has {length} bytes, at most "
                f"{self.limits.name_bytes} are read: give it a shorter one"
            )
        try:
            self.data[self.position : self.position + length].decode()
        except UnicodeDecodeError as error:
            raise InvalidNetwork(
                f"a {known.owner}'s {known.name} is not UTF-8: the file is damaged"
            ) from error

    def _check_numbers(self, known: _Known, length: int) -> None:
        """Packed numbers: a varint of one byte takes eight."""
        self.unpacked += 8 * length
        if self.unpacked > self.limits.unpacked_bytes:
            raise InvalidNetwork(
                f"the file's packed numbers take more than {self.limits.unpacked_bytes} bytes in "
                "memory: store its weights as raw data, as exporters do"
            )

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise InvalidNetwork(_NO_MODEL)
