"""Words and settings as arrays of a dataset's file. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from compress.tasks.formats import npz, tokenising
from compress.tasks.formats.tokenising import PARTS, UNKNOWN_WORD
from compress.tasks.formats.words import (
    MAX_LENGTH,
    MAX_WORDS,
    MOST_SETTINGS_BYTES,
    MOST_TOKENIZER_BYTES,
    SETTINGS,
    TOKENIZER,
    TextSettings,
    Words,
)
from compress.values.errors import InvalidData

NAMES: Final = frozenset({*PARTS, SETTINGS, TOKENIZER})
"""Arrays that datasets of texts have besides those of all."""
_MOST: Mapping[str, int] = {SETTINGS: MOST_SETTINGS_BYTES, TOKENIZER: MOST_TOKENIZER_BYTES}


def read(archive: npz.Archive, *, is_foreign: bool = False) -> Words | None:
    """Return the words of a dataset; None if it has none. Raises InvalidData for odd ones.

    The first two of foreign ones may be called anything: they pad, and stand for unknown words.
    """
    present = [name for name in PARTS if name in archive.arrays]
    tables = {name: _texts(archive, name, is_foreign=is_foreign) for name in present}
    if tables and set(tables) not in ({PARTS[0]}, set(PARTS)):
        raise InvalidData(f"words must be in {PARTS[0]}, or in all of {', '.join(PARTS)}")
    if not tables and TOKENIZER not in archive.arrays:
        return None
    tokenizer = _tokenizer(archive)
    settings = _settings(archive, has_tokenizer=bool(tokenizer))
    if (settings.cut == "tokenizer") != bool(tokenizer) or (tables and tokenizer):
        raise InvalidData(
            f"{SETTINGS} say that {settings.cut} cuts: expected words, or a {TOKENIZER}, and not "
            "both"
        )
    return Words(settings=settings, tables=tables, tokenizer=tokenizer)


def _tokenizer(archive: npz.Archive) -> bytes:
    """Return a ``tokenizer.json`` that goes out as it came in; empty if there is none."""
    content = _bytes(archive, TOKENIZER) if TOKENIZER in archive.arrays else b""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise InvalidData(f"{TOKENIZER} must be JSON in UTF-8: {error}") from error
    return content


def _settings(archive: npz.Archive, *, has_tokenizer: bool) -> TextSettings:
    if SETTINGS not in archive.arrays:
        length = max(1, min(MAX_LENGTH, archive.arrays["x_train"].shape[-1]))
        cut = "tokenizer" if has_tokenizer else "words"
        return TextSettings(cut=cut, lower_case=False, max_length=length)
    try:
        return TextSettings.model_validate_json(_bytes(archive, SETTINGS))
    except ValidationError as error:
        raise InvalidData(f"{SETTINGS} are not those of texts: {error}"[:400]) from error


def _texts(archive: npz.Archive, name: str, *, is_foreign: bool) -> tuple[str, ...]:
    header = archive.arrays[name]
    if header.dtype.kind != "U" or len(header.shape) != 1 or not 2 <= header.shape[0] <= MAX_WORDS:
        raise InvalidData(
            f"{name} must be 2 to {MAX_WORDS:,} texts, the place of each being its id, got shape "
            f"{header.shape} of {header.dtype}"
        )
    try:
        texts = tuple(archive.read(name).tolist())
    except (ValueError, SystemError) as error:
        raise InvalidData(f"{name} must be Unicode: {error}") from error
    if is_foreign:
        texts = ("", UNKNOWN_WORD, *texts[2:])
    if texts[:2] != ("", UNKNOWN_WORD):
        raise InvalidData(
            f"{name} must begin with '' (0 pads) and {UNKNOWN_WORD!r} (1), got {texts[:2]}"
        )
    known = set(texts[2:])
    odd = next((id_ for id_ in range(2, len(texts)) if not tokenising.is_word(texts[id_])), None)
    if odd is not None:
        raise InvalidData(
            f"{name} has {texts[odd][:80]!r} as word {odd}: expected 1 to "
            f"{tokenising.LONGEST_WORD} printable characters"
        )
    if len(known) < len(texts) - 2:
        raise InvalidData(f"{name} has a word twice: ids need words of their own")
    return texts


def _bytes(archive: npz.Archive, name: str) -> bytes:
    header = archive.arrays[name]
    if header.dtype != np.uint8 or len(header.shape) != 1 or header.shape[0] > _MOST[name]:
        raise InvalidData(
            f"{name} must be at most {_MOST[name]:,} bytes, got {header.dtype} {header.shape}"
        )
    content: NDArray[np.generic] = archive.read(name)
    return content.tobytes()
