"""Open data sets of text as arrays of ids: SMS spam, SNLI's development set, WNUT17.

A folder has ``sms_spam.parquet``, ``snli_devtest.parquet`` and ``wnut17.parquet``, with a column
``split``. Words are ``\\w+`` or one sign, in lower case; ids fall by frequency in training; 0 is
padding, 1 the unknown word.

Legend: N examples, L words, F features.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")
_UNKNOWN, _FIRST = 1, 2
IGNORED = -100
"""The tag of padding."""
_SHAPES = ((r"[A-Z]", "X"), (r"[a-z]", "x"), (r"\d", "d"))
_ENTAILMENT = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True, kw_only=True)
class TextSet:
    """Ids and targets by split, and how many ids there are, for each feature if there are some."""

    x: Mapping[str, NDArray[np.int64]]
    y: Mapping[str, NDArray[np.int64]]
    words: tuple[int, ...]
    classes: tuple[str, ...]


def sms(folder: Path) -> TextSet:
    """Messages that are spam or not; there are a training and a test split."""
    rows = _rows(folder / "sms_spam.parquet")
    texts = {split: [split_words(r["text"]) for r in found] for split, found in rows.items()}
    ids = _numbered(w for text in texts["train"] for w in text)
    classes = ("ham", "spam")
    longest = max(len(text) for found in texts.values() for text in found)
    return TextSet(
        x={s: _padded([_ids(t, ids) for t in found], longest) for s, found in texts.items()},
        y={s: _labels([r["label"] for r in found], classes) for s, found in rows.items()},
        words=(len(ids) + _FIRST,),
        classes=classes,
    )


def sms_words(folder: Path) -> tuple[str, ...]:
    """Return the texts of the ids of ``sms``; that of padding is empty."""
    rows = _rows(folder / "sms_spam.parquet")["train"]
    return ("", "[UNK]", *_numbered(word for row in rows for word in split_words(row["text"])))


def snli(folder: Path) -> TextSet:
    """Pairs of sentences; what is published for development is trained on, as in other marks."""
    rows = _rows(folder / "snli_devtest.parquet")
    rows = {"train": rows["dev"], "test": rows["test"]}
    rows = {s: [r for r in found if r["label"] in _ENTAILMENT] for s, found in rows.items()}
    pairs = {
        split: [[split_words(r[f"sentence{i}"]) for r in found] for i in (1, 2)]
        for split, found in rows.items()
    }
    ids = _numbered(w for side in pairs["train"] for text in side for w in text)
    longest = max(len(text) for sides in pairs.values() for side in sides for text in side)
    return TextSet(
        x={split: _pairs(sides, ids, longest) for split, sides in pairs.items()},
        y={s: _labels([r["label"] for r in found], _ENTAILMENT) for s, found in rows.items()},
        words=(len(ids) + _FIRST,),
        classes=_ENTAILMENT,
    )


def wnut(folder: Path) -> TextSet:
    """Words with tags of entities, each by itself, its end, its beginning and its shape."""
    rows = _rows(folder / "wnut17.parquet")
    tags = ("O", *sorted({t for r in rows["train"] for t in r["ner_tags"]} - {"O"}))
    found = [_feature(rows, make) for make in _FEATURES]
    return TextSet(
        x={split: np.stack([f[0][split] for f in found], axis=1) for split in rows},
        y={split: _tags(each, tags, _longest(rows)) for split, each in rows.items()},
        words=tuple(words for _, words in found),
        classes=tags,
    )


def split_words(text: str) -> list[str]:
    """Return the words and signs of a text, in lower case."""
    return _WORD.findall(text.lower())


def _shape(word: str) -> str:
    for pattern, sign in _SHAPES:
        word = re.sub(f"{pattern}+", sign, word)
    return word[:8]


_FEATURES: Sequence[Callable[[str], str]] = (
    str.lower,
    lambda word: word[-3:].lower(),
    lambda word: word[:3].lower(),
    _shape,
)


def _feature(
    rows: Mapping[str, list[dict[str, Any]]], make: Callable[[str], str]
) -> tuple[dict[str, NDArray[np.int64]], int]:
    ids = _numbered(make(word) for row in rows["train"] for word in row["tokens"])
    found = {
        split: _padded(
            [[ids.get(make(w), _UNKNOWN) for w in row["tokens"]] for row in each], _longest(rows)
        )
        for split, each in rows.items()
    }
    return found, len(ids) + _FIRST


def _rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in parquet.read_table(path).to_pylist():
        found.setdefault(row["split"], []).append(row)
    return found


def _numbered(words: Iterable[str]) -> dict[str, int]:
    counts = Counter(words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate(ranked, _FIRST)}


def _ids(words: Sequence[str], ids: Mapping[str, int]) -> list[int]:
    return [ids.get(word, _UNKNOWN) for word in words] or [_UNKNOWN]


def _padded(texts: Sequence[Sequence[int]], length: int, *, with_: int = 0) -> NDArray[np.int64]:
    found = np.full((len(texts), length), with_, np.int64)
    for row, text in zip(found, texts, strict=True):
        row[: len(text)] = text
    return found


def _pairs(
    sides: Sequence[Sequence[Sequence[str]]], ids: Mapping[str, int], length: int
) -> NDArray[np.int64]:
    numbered = [[_ids(text, ids) for text in side] for side in sides]
    return np.stack([_padded(side, length) for side in numbered], axis=1)


def _longest(rows: Mapping[str, list[dict[str, Any]]]) -> int:
    return max(len(row["tokens"]) for each in rows.values() for row in each)


def _labels(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    return np.asarray([classes.index(label) for label in labels], np.int64)


def _tags(rows: Sequence[dict[str, Any]], tags: Sequence[str], length: int) -> NDArray[np.int64]:
    numbers = {tag: number for number, tag in enumerate(tags)}
    found = [[numbers.get(tag, 0) for tag in row["ner_tags"]] for row in rows]
    return _padded(found, length, with_=IGNORED)
