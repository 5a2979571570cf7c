"""Cut text into words, and words into parts: what every delivered ``settings.json`` says.

Nothing is learned here, and the same text gives the same words everywhere. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

PATTERN: Final = r"\w+|[^\w\s]"
"""A word is a run of letters, digits and underscores, or one other character that is no space."""
UNIVERSAL_PATTERN: Final = r"[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]"
"""The same in the syntax of ``tokenizer.json``, whose ``\\w`` has other letters than Python's."""
PADDING: Final = 0
UNKNOWN: Final = 1
FIRST_WORD: Final = 2
"""The id of the most frequent word."""
UNKNOWN_WORD: Final = "[UNK]"
LONGEST_WORD: Final = 64
"""Characters; longer words are unknown ones."""
PARTS: Final = ("words", "suffixes", "prefixes", "shapes")
"""What a word of a sentence is described by if its parts are asked for, in this order."""
_SPECIAL = frozenset({UNKNOWN_WORD, "[PAD]"})
_WORD = re.compile(PATTERN)
_AFFIX = 3
_LONGEST_SHAPE = 12
_REPEATED = re.compile(r"(.)\1{2,}")


def words(text: str, *, lower_case: bool) -> Iterator[str]:
    """Yield the words of a text in order, of lower case if asked."""
    for found in _WORD.finditer(text.lower() if lower_case else text):
        yield found.group()


def is_word(text: str) -> bool:
    """Whether a word may have an id of its own: it can be printed on one line and is not long."""
    return 0 < len(text) <= LONGEST_WORD and text.isprintable() and text not in _SPECIAL


def parts(token: str, *, lower_case: bool) -> tuple[str, str, str, str]:
    """Return the word, its last and its first three characters, and its shape.

    The shape, as in ``Xxx-dd``, keeps the case: X for a capital, x for a small letter, c for other
    letters, d for a digit, all else as it is; of a character that comes more often than twice in a
    row two are kept, and twelve of all.
    """
    word = token.lower() if lower_case else token
    shape = _REPEATED.sub(r"\1\1", "".join(map(_kind, token[:LONGEST_WORD])))
    return word, word[-_AFFIX:], word[:_AFFIX], shape[:_LONGEST_SHAPE]


def _kind(character: str) -> str:
    if character.isupper():
        return "X"
    if character.islower():
        return "x"
    if character.isdigit():
        return "d"
    return "c" if character.isalpha() else character
