"""What a card says, inside the file: entries of metadata behind its bytes.

An ONNX file is a message of protocol buffers, whose fields may stand in any order. So entries of
``metadata_props`` that follow a file's bytes are part of the new file, whose first
``featherweight.file_bytes`` are, to the bit, the old one with the digest
``featherweight.file_sha256``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from compress.values.file_formats.onnx_header import OnnxHeader
from featherweight.cards.card import ModelCard
from featherweight.cards.subject import CLASS_NAMES, INPUT
from featherweight.errors import NoMetadata

_METADATA_PROPS = (14 << 3 | 2).to_bytes(1, "big")
_KEY, _VALUE = b"\x0a", b"\x12"
_MOST_NAMES_BYTES = 2**16


def suffix(card: ModelCard, header: OnnxHeader) -> bytes:
    """Return the bytes to append to the card's file: what it does not say already.

    Raises NoMetadata if the file says something else under a name of ours: a file that was
    uploaded with such metadata keeps them, and a name may stand in a file only once.
    """
    found = dict(entries(card))
    if CLASS_NAMES in header.metadata:
        found.pop(CLASS_NAMES, None)
    for key, text in found.items():
        if header.metadata.get(key, text) != text:
            raise NoMetadata(
                f"the metadata of the uploaded file, which every file of it keeps, say {key} "
                "already: take the file without metadata, or upload it without this entry"
            )
    return serialised({key: text for key, text in found.items() if key not in header.metadata})


def entries(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Yield keys and texts, most of them JSON."""
    yield INPUT, _json(_input(card))
    yield "featherweight.normalisation", card.input.normalisation.model_dump_json()
    names = _json(card.output.class_names)
    if card.output.class_names and len(names.encode()) <= _MOST_NAMES_BYTES:
        yield CLASS_NAMES, names
    yield "featherweight.output", card.output.values
    yield "featherweight.target", card.target.name
    yield "featherweight.candidate_sha256", card.candidate_digest
    yield "featherweight.measured_sha256", card.file.measured_sha256
    yield "featherweight.file_sha256", card.file.sha256
    yield "featherweight.file_bytes", str(card.file.size_bytes)
    shares = {split: found.model_dump(mode="json") for split, found in card.quality.items()}
    yield f"featherweight.{'accuracy' if card.accuracy else 'quality'}", _json(shares)
    if card.licence is not None:
        yield "featherweight.licence", card.licence


def serialised(entries: Mapping[str, str]) -> bytes:
    """Return entries as fields of a ``ModelProto``."""
    return b"".join(_METADATA_PROPS + _sized(_entry(*entry)) for entry in entries.items())


def _input(card: ModelCard) -> dict[str, Any]:
    given = card.input
    return {
        "layout": given.layout,
        "shape": given.shape,
        "values": "raw",
        "range": given.value_range,
        "normalisation": "inside",
    }


def _entry(key: str, text: str) -> bytes:
    return _KEY + _sized(key.encode()) + _VALUE + _sized(text.encode("utf-8", "replace"))


def _sized(data: bytes) -> bytes:
    left, size = len(data), bytearray()
    while left >= 0x80:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes(size) + bytes([left]) + data


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
