"""The words that ids stand for, as a dataset keeps them and a package delivers them. Torch-free.

A package is a network, ``words.txt`` (or the ``tokenizer.json`` that was given) and
``settings.json``: what a sentence needs to become the network's input.

Legend: V words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, Field

from compress.tasks.formats import tokenising
from compress.tasks.formats.tokenising import PARTS

MAX_WORDS: Final = 2**18
"""Ids of one vocabulary, those of padding and of the unknown word among them."""
MAX_LENGTH: Final = 2**16
"""Ids of one text."""
SETTINGS: Final = "settings"
TOKENIZER: Final = "tokenizer"
MOST_SETTINGS_BYTES: Final = 4096
MOST_TOKENIZER_BYTES: Final = 8 * 2**20
Cut: TypeAlias = Literal["text", "words", "parts", "tokenizer"]
Kept: TypeAlias = Collection[int] | int | None
"""Ids that a file still tells apart: all, the first so many, or these; 0 and 1 always are."""


class TextSettings(BaseModel, frozen=True, extra="forbid"):
    """How a sentence becomes ids: the ``settings.json`` beside a network."""

    format_version: Literal[1] = 1
    cut: Cut = Field(
        description="text: every match of pattern is a word. words: sentences come as words. "
        "parts: as words, of which each is four ids, of the word, its suffix, prefix and shape. "
        "tokenizer: tokenizer.json cuts."
    )
    lower_case: bool
    max_length: int = Field(ge=1, le=MAX_LENGTH, description="Ids of a text; the rest is cut off.")
    pattern: str = Field(default="", max_length=200, description="A regular expression of Python.")
    num_ids: int | None = Field(
        default=None,
        ge=3,
        le=MAX_WORDS,
        exclude_if=lambda value: value is None,
        description="Of a tokenizer.json, counted from 0.",
    )
    padding: Literal[0] = tokenising.PADDING
    unknown: Literal[1] = tokenising.UNKNOWN

    def document(self) -> bytes:
        """Return the file as it is delivered."""
        return self.model_dump_json().encode() + b"\n"


class TextInfo(BaseModel, frozen=True, extra="forbid"):
    """What is known of the ids of a dataset."""

    vocabulary: tuple[int, ...] = Field(
        description="Ids of each vocabulary, from 0; of sentences of parts four, in the order of "
        "words, suffixes, prefixes and shapes. Without words one more than the largest id."
    )
    settings: TextSettings | None = Field(
        default=None, description="How words become ids; None: ids were sent, and nothing else."
    )
    words_bytes: int = Field(
        default=0, ge=0, description="Of what is delivered beside a network: words and settings."
    )
    unknown: dict[str, float] = Field(
        default_factory=dict, description="Share of unknown words among those of each split."
    )
    mean_length: dict[str, float] = Field(
        default_factory=dict, description="Words of an example of each split, both texts of a pair."
    )
    is_perturbed: bool = Field(
        default=False, description="Whether there is a perturbed copy of validation."
    )


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a dataset: one or more vocabularies by name, ids being places in them.

    ``tokenizer`` is the file that was given instead, if one was.
    """

    settings: TextSettings
    tables: Mapping[str, Sequence[str]]
    tokenizer: bytes = b""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many ids each vocabulary has."""
        if self.settings.num_ids is not None:
            return (self.settings.num_ids,)
        return tuple(map(len, self.tables.values()))

    def files(self, kept: Kept = None) -> dict[str, bytes]:
        """Return the files of a package beside the network, by name.

        ``kept`` are the ids of words that the network still tells apart; it says nothing of other
        vocabularies, nor of a tokenizer that was given, which cannot drop words.
        """
        found = {"settings.json": self.settings.document()}
        if self.tokenizer:
            return found | {"tokenizer.json": self.tokenizer}
        for name, texts in self.tables.items():
            found[f"{name}.txt"] = listed(texts, kept if name == PARTS[0] else None)
        return found

    def dump(self) -> bytes:
        """Return everything as bytes, which ``load`` reads back."""
        tables = {name: list(texts) for name, texts in self.tables.items()}
        settings, tokenizer = self.settings.model_dump(mode="json"), self.tokenizer.decode()
        return json.dumps([settings, tables, tokenizer], ensure_ascii=False).encode()

    @classmethod
    def load(cls, content: bytes) -> Words:
        """Read what ``dump`` wrote."""
        settings, tables, tokenizer = json.loads(content)
        return cls(
            settings=TextSettings.model_validate(settings),
            tables={name: tuple(texts) for name, texts in tables.items()},
            tokenizer=tokenizer.encode(),
        )

    def num_bytes(self, kept: Kept = None) -> int:
        """Count the bytes of ``files``."""
        return sum(map(len, self.files(kept).values()))


def listed(texts: Sequence[str], kept: Kept = None) -> bytes:
    """Return words one a line, the first being that of id 2: 0 and 1 have none.

    If only some are kept that are not the first ones, the lines of the others are empty, so that
    the number of a line still tells the id.
    """
    if isinstance(kept, int):
        texts = texts[:kept]
    elif kept is not None:
        is_kept = frozenset(kept)
        last = max(is_kept, default=0)
        texts = [word if id_ in is_kept else "" for id_, word in enumerate(texts[: last + 1])]
    return "".join(f"{word}\n" for word in texts[tokenising.FIRST_WORD :]).encode()


def read(document: bytes) -> list[str]:
    """Return the words of a ``words.txt``, by id; words that were dropped are empty texts."""
    return ["", tokenising.UNKNOWN_WORD, *document.decode().split("\n")[:-1]]


def tokenizer_json(settings: TextSettings, texts: Sequence[str]) -> bytes:
    """Return words as a ``tokenizer.json`` that Hugging Face's libraries read.

    It is made of the words and settings alone, and gives the same ids. Words that were dropped are
    not in it: they are unknown.
    """
    vocabulary = {tokenising.UNKNOWN_WORD: tokenising.UNKNOWN}
    for id_, word in enumerate(texts[tokenising.FIRST_WORD :], tokenising.FIRST_WORD):
        if word:
            vocabulary.setdefault(word, id_)
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    pad = {"id": tokenising.PADDING, "content": "[PAD]", **special, "special": True}
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [pad],
        "normalizer": {"type": "Lowercase"} if settings.lower_case else None,
        "pre_tokenizer": _pre_tokenizer(settings),
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {"[PAD]": tokenising.PADDING, **vocabulary},
            "unk_token": tokenising.UNKNOWN_WORD,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _pre_tokenizer(settings: TextSettings) -> dict[str, Any]:
    if settings.cut != "text":
        return {"type": "WhitespaceSplit"}
    pattern = {"Regex": tokenising.UNIVERSAL_PATTERN}
    return {"type": "Split", "pattern": pattern, "behavior": "Removed", "invert": True}
