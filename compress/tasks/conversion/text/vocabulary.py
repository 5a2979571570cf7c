"""Number the words of the training split: the more frequent, the smaller the id. Torch-free.

Legend: R different words as they were met, V ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import tokenising


class Met:
    """Numbers words in the order in which they are met."""

    def __init__(self) -> None:
        """Begin without words."""
        self._places: dict[str, int] = {}

    def numbers(self, words: Iterable[str]) -> list[int]:
        """Return the numbers of some words, which are new ones for words that are new."""
        places = self._places
        return [places.setdefault(word, len(places)) for word in words]

    @property
    def words(self) -> tuple[str, ...]:
        """All words, by number."""
        return tuple(self._places)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words by id, and the id of every word that was met: ``ids_R``, 1 for those without one.

    ``num_trained`` are the different words of training, with and without an id.
    """

    words: tuple[str, ...]
    ids_R: NDArray[np.int32]
    num_trained: int


def counted(
    met: Sequence[str],
    counts_R: NDArray[np.int64],
    *,
    max_words: int,
    part: Callable[[str], str] = lambda word: word,
) -> Vocabulary:
    """Number words, or a part of them, that occur in training, by falling count, then as texts.

    ``counts_R`` says how often each word that was met occurs there. ``max_words`` are ids, those of
    padding and of the unknown word among them.
    """
    parts = [part(word) for word in met]
    total: dict[str, int] = {}
    for text, count in zip(parts, counts_R.tolist(), strict=True):
        if count and tokenising.is_word(text):
            total[text] = total.get(text, 0) + count
    order = sorted(total, key=lambda text: (-total[text], text))
    words = ("", tokenising.UNKNOWN_WORD, *order[: max_words - tokenising.FIRST_WORD])
    ids = {word: id_ for id_, word in enumerate(words) if id_ >= tokenising.FIRST_WORD}
    found_R = np.array([ids.get(text, tokenising.UNKNOWN) for text in parts], np.int32)
    return Vocabulary(words=words, ids_R=found_R, num_trained=len(total))
