"""Cut texts by a ``tokenizer.json`` that somebody sent: in a bounded process only. Torch-free.

Such a file is a program of a kind: what it may consist of is a list, patterns of its own are
refused (some take for ever, others break the reader), and padding and truncation are ours. Needs
the package ``tokenizers``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion.text.cutting import Numbered
from compress.tasks.formats import tokenising
from compress.tasks.formats.words import (
    MAX_WORDS,
    MOST_TOKENIZER_BYTES,
    TextSettings,
    Words,
)
from compress.tasks.reading import LONGEST_TEXT, DatasetReading
from compress.values.errors import InvalidData
from compress.values.shown import some

MODELS: Final = frozenset({"WordLevel", "WordPiece", "BPE", "Unigram"})
PARTS: Final[Mapping[str, frozenset[str]]] = {
    "normalizer": frozenset(
        {
            "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled",
            "Prepend", "Replace", "Sequence", "Strip", "StripAccents", "ByteLevel",
        }
    ),
    "pre_tokenizer": frozenset(
        {
            "BertPreTokenizer", "ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence",
            "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
        }
    ),
    "post_processor": frozenset(
        {"BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"}
    ),
}  # fmt: skip
"""What the parts of a tokenizer may be."""
_INNER = ("normalizers", "pretokenizers", "processors")
_KEPT = ("version", "added_tokens", "model", *PARTS)
_PATTERNS = frozenset({tokenising.UNIVERSAL_PATTERN})
_NO_LIBRARY = (
    "a tokenizer.json was sent, and this service has no tokenizers to read it: send an npz of the "
    "ids, or let who runs the service install featherweight[text]"
)


class GivenTokenizer:
    """Cuts texts as a ``tokenizer.json`` says; numbers are its ids."""

    def __init__(self, content: bytes, reading: DatasetReading) -> None:
        """Read the file. Raises InvalidData for what is none, or may not be used."""
        _check_reading(reading)
        self._content = checked(content)
        self.max_length = reading.max_length or LONGEST_TEXT
        self._tokenizer = _opened(self._content)
        self._num_ids = _num_ids(self._tokenizer)

    def text(self, text: str) -> list[int]:
        """Return the ids of a text, and one more than ``max_length`` if it has more."""
        ids: list[int] = _run(self._tokenizer.encode, text).ids[: self.max_length + 1]
        if tokenising.PADDING in ids:
            token = self._tokenizer.id_to_token(tokenising.PADDING)
            raise InvalidData(
                f"the tokenizer gives the id 0 to {str(token)[:80]!r} of a text, and 0 pads here: "
                "send an npz of ids of which 0 is padding"
            )
        return ids

    def tokens(self, tokens: Sequence[str]) -> list[int]:
        """Refuse: one word may be several ids."""
        raise InvalidData(
            "a tokenizer.json is for whole texts: send tagged words without one, or an npz of ids "
            "with a tag for each of them"
        )

    def numbered(self, trained: NDArray[np.int32]) -> Numbered:
        """Return the ids as they are, and the tokenizer as what is delivered."""
        settings = TextSettings(
            cut="tokenizer", lower_case=False, max_length=self.max_length, num_ids=self._num_ids
        )
        words = Words(settings=settings, tables={}, tokenizer=self._content)
        said = f"texts are cut by the tokenizer.json that was sent, which has {self._num_ids:,} ids"
        return Numbered(tables=(None,), words=words, note=said)


def checked(content: bytes) -> bytes:
    """Return a tokenizer without padding, truncation and decoder, as its parts are allowed.

    Raises InvalidData that names the part that is not.
    """
    if len(content) > MOST_TOKENIZER_BYTES:
        raise InvalidData(
            f"tokenizer.json has {len(content):,} bytes: at most {MOST_TOKENIZER_BYTES:,} are taken"
        )
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"tokenizer.json is no JSON in UTF-8: {error}"[:300]) from error
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or model.get("type") not in MODELS:
        raise InvalidData(
            f"tokenizer.json must have a model of the type {some(sorted(MODELS))}, got "
            f"{str(model.get('type') if isinstance(model, dict) else model)[:80]!r}"
        )
    for name, allowed in PARTS.items():
        for part in _parts(document.get(name), name):
            _check_part(part, name, allowed)
    kept = {key: value for key, value in document.items() if key in _KEPT}
    kept |= {"truncation": None, "padding": None, "decoder": None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _check_reading(reading: DatasetReading) -> None:
    said = {
        "max_words": reading.max_words,
        "lower_case": reading.lower_case,
        "word_parts": reading.word_parts,
    }
    given = [name for name, value in said.items() if value is not None]
    if given:
        raise InvalidData(f"{some(given)}: a tokenizer.json says that itself; leave it out")


def _parts(part: object, name: str) -> Iterator[dict[str, Any]]:
    """Yield a part, and those that it consists of; they are few and not deep."""
    waiting, seen = [(part, 0)], 0
    while waiting:
        found, depth = waiting.pop()
        seen += 1
        if found is None:
            continue
        if not isinstance(found, dict) or depth > 4 or seen > 100:
            raise InvalidData(f"tokenizer.json has no {name} that can be used")
        yield found
        inner = [
            each for key in _INNER if isinstance(some := found.get(key), list) for each in some
        ]
        waiting += [(each, depth + 1) for each in inner[:200]]


def _check_part(part: dict[str, Any], name: str, allowed: frozenset[str]) -> None:
    kind = part.get("type")
    if kind not in allowed:
        raise InvalidData(
            f"tokenizer.json has a {name} of the type {str(kind)[:80]!r}, which is not used: "
            f"expected one of {', '.join(sorted(allowed))}"
        )
    pattern = part.get("pattern")
    regular = pattern.get("Regex") if isinstance(pattern, dict) else None
    if regular is not None and regular not in _PATTERNS:
        raise InvalidData(
            f"tokenizer.json has a regular expression of its own ({str(regular)[:80]!r}): patterns "
            "of others are not run; send an npz of the ids that it gives"
        )


def _opened(content: bytes) -> Any:
    try:
        library = importlib.import_module("tokenizers")
    except ImportError as error:
        raise InvalidData(_NO_LIBRARY) from error
    return _run(library.Tokenizer.from_str, content.decode())


def _num_ids(tokenizer: Any) -> int:
    ids = [*_run(tokenizer.get_vocab, True).values()]
    largest = max(ids, default=0)
    if not 3 <= largest + 1 <= MAX_WORDS:
        raise InvalidData(
            f"tokenizer.json has ids up to {largest:,}, expected 2 to {MAX_WORDS - 1:,}"
        )
    return largest + 1


def _run(call: Any, *given: Any) -> Any:
    """Call the library, which raises what no other one does: a panic is no Exception."""
    try:
        return call(*given)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise InvalidData(f"tokenizer.json cannot be used: {error}"[:300]) from error
