"""Write words as people in a hurry do: letters swapped, small letters, words left out. Torch-free.

What a network makes of it is a figure of its own: training with noise shows there, not on clean
text. The same text of the same row always becomes the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

TYPOS = 0.3
"""Share of longer words in which two neighbouring letters change places."""
MISSING = 0.1
"""Share of words that are left out of texts; words of tagged sentences stay."""
_LONG = 4
"""Letters of a word that may get a typo: its first and its last one stay."""
_SEED = 20_260_102
_PIECE = re.compile(r"\w+|\W+")


class Perturbation:
    """Draws what happens to the words of one example, by its number in its split."""

    def __init__(self, row: int) -> None:
        """Begin the example of this number."""
        self._random = random.Random(_SEED + row)

    def text(self, text: str) -> str:
        """Return a text of small letters with typos, of which some words are missing.

        One that would have no word left keeps all of them.
        """
        pieces: list[str] = _PIECE.findall(text)
        kept = [self._typed(each) for each in pieces if not self._is_missing(each)]
        found = "".join(kept) if any(map(_is_word, kept)) else "".join(map(self._typed, pieces))
        return found.lower()

    def tokens(self, tokens: Sequence[str]) -> list[str]:
        """Return as many words, of small letters and with typos: each keeps its tag."""
        return [self._typed(token).lower() for token in tokens]

    def _is_missing(self, piece: str) -> bool:
        return _is_word(piece) and self._random.random() < MISSING

    def _typed(self, word: str) -> str:
        if len(word) < _LONG or not word.isalpha() or self._random.random() >= TYPOS:
            return word
        place = self._random.randrange(1, len(word) - 2)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _is_word(piece: str) -> bool:
    return piece[:1].isalnum()
