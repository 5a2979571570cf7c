"""Read tagged sentences as CoNLL files have them: a word and its tag a line, then an empty line.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from compress.tasks.conversion.tables.rows import LONGEST_LINE, MOST_LISTED, OpenTable, Values
from compress.values.errors import InvalidData

COLUMNS = ("tokens", "tags")
_DOCUMENT = "-DOCSTART-"


@contextmanager
def open_conll(path: Path) -> Iterator[OpenTable]:
    """Open a file whose lines are words with their tags; the word stands first, the tag last.

    Columns are separated by tabs, or by blanks. The rows raise InvalidData naming the line.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        yield OpenTable(
            format="conll",
            columns=COLUMNS,
            rows=lambda asked: iter(()),
            values=lambda asked: _sentences(file),
        )


def _sentences(file: IO[str]) -> Iterator[Values]:
    """Yield sentences with the number of the line of their last word."""
    tokens, tags, last = list[str](), list[str](), 0
    for line, text in _lines(file):
        if text.strip() and not text.startswith(_DOCUMENT):
            token, tag = _cut(line, text)
            tokens.append(token)
            tags.append(tag)
            last = line
        elif tokens:
            yield last, (tuple(tokens), tuple(tags))
            tokens, tags = [], []
        if len(tokens) > MOST_LISTED:
            raise InvalidData(
                f"line {line}: a sentence has more than {MOST_LISTED:,} words: put an empty line "
                "after each sentence"
            )
    if tokens:
        yield last, (tuple(tokens), tuple(tags))


def _lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    line = 0
    while True:
        line += 1
        try:
            text = file.readline(LONGEST_LINE + 1)
        except UnicodeDecodeError as error:
            raise InvalidData(f"the file must be UTF-8, after line {line - 1}: {error}") from error
        if not text:
            return
        if len(text) > LONGEST_LINE:
            raise InvalidData(f"line {line} has more than {LONGEST_LINE:,} characters")
        yield line, text


def _cut(line: int, text: str) -> tuple[str, str]:
    """Return the word and the tag of a line."""
    columns = text.strip("\r\n").split("\t") if "\t" in text else text.split()
    if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
        raise InvalidData(
            f"line {line} is {text.strip()[:80]!r}, expected a word and its tag with a tab or "
            "blanks between them; jsonl and parquet with a list of tokens and one of tags will "
            "do, too"
        )
    return columns[0].strip(), columns[-1].strip()
