"""Cut texts into words, and number these by how often they come in training. Torch-free.

Legend: R different words as they were met, N examples, P ids of a word, L words of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion.text import vocabulary
from compress.tasks.conversion.text.vocabulary import Met, Vocabulary
from compress.tasks.formats import tokenising
from compress.tasks.formats.words import Cut, TextSettings, Words
from compress.tasks.reading import LONGEST_TEXT, MOST_WORDS, DatasetReading


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """The ids of numbers: a table ``(R,)`` for each of P ids, or None if numbers are ids."""

    tables: Sequence[NDArray[np.int32] | None]
    words: Words
    note: str


class WordCutter:
    """Cuts by ``tokenising``; numbers are those of words in the order in which they are met."""

    def __init__(self, reading: DatasetReading) -> None:
        """Cut as the reading says."""
        self.max_length = reading.max_length or LONGEST_TEXT
        self._lower_case = reading.lower_case is not False
        self._max_words = reading.max_words or MOST_WORDS
        self._cut: Cut = _cut(reading)
        self._met = Met()

    def text(self, text: str) -> list[int]:
        """Return the numbers of a text, and one more than ``max_length`` if it has more words."""
        words = tokenising.words(text, lower_case=self._lower_case)
        return self._met.numbers(islice(words, self.max_length + 1))

    def tokens(self, tokens: Sequence[str]) -> list[int]:
        """Return the numbers of words."""
        return self._met.numbers(tokens)

    def numbered(self, trained: NDArray[np.int32]) -> Numbered:
        """Return the ids of all words by how often they come among ``trained``."""
        found = self.vocabularies(trained)
        words = self.words(found)
        tables = [each.ids_R for each in found.values()]
        return Numbered(tables=tables, words=words, note=_said(words, found))

    def vocabularies(self, trained: NDArray[np.int32]) -> Mapping[str, Vocabulary]:
        """Return the vocabularies of the words with these numbers, by name.

        ``trained`` are all words of the training split.
        """
        met = self._met.words
        counts_R = np.bincount(trained, minlength=len(met))
        names = tokenising.PARTS if self._cut == "parts" else tokenising.PARTS[:1]
        return {
            name: vocabulary.counted(
                met, counts_R, max_words=self._max_words, part=self._part(place)
            )
            for place, name in enumerate(names)
        }

    def words(self, found: Mapping[str, Vocabulary]) -> Words:
        """Return what is delivered of vocabularies."""
        settings = TextSettings(
            cut=self._cut,
            lower_case=self._lower_case,
            max_length=self.max_length,
            pattern=tokenising.PATTERN if self._cut == "text" else "",
        )
        return Words(settings=settings, tables={name: each.words for name, each in found.items()})

    def _part(self, place: int) -> Callable[[str], str]:
        if self._cut == "parts":
            return lambda word: tokenising.parts(word, lower_case=self._lower_case)[place]
        if self._cut == "words" and self._lower_case:
            return str.lower
        return lambda word: word


def _cut(reading: DatasetReading) -> Cut:
    if reading.task != "sequence_labelling":
        return "text"
    return "parts" if reading.word_parts else "words"


def _said(words: Words, found: Mapping[str, Vocabulary]) -> str:
    sizes = ", ".join(f"{len(each.words):,} for {name}" for name, each in found.items())
    first = next(iter(found.values()))
    how = {
        "text": f"texts are cut into words by {words.settings.pattern}",
        "words": "words are taken as they are",
        "parts": "words are taken as they are, each as four ids",
    }[words.settings.cut]
    lower = ", of small letters" if words.settings.lower_case else ""
    return (
        f"{how}{lower}; ids by falling frequency in training, 0 pads and 1 is the unknown word: "
        f"{sizes}; {len(first.words) - tokenising.FIRST_WORD:,} of {first.num_trained:,} different "
        "words of training have one of their own"
    )
