"""Read the rows of a stranger's table, one after the other. Torch-free.

A row is as many texts as the table has columns; what they mean is decided by whoever asks.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias, TypeVar

from compress.values.errors import InvalidData
from compress.values.shown import some

Row: TypeAlias = tuple[int, Sequence[str]]
"""The number of a line, from 1, on which a row ends, or of the row itself; and the texts in it."""
Value: TypeAlias = "str | tuple[str, ...]"
"""A text, or a list of texts."""
Values: TypeAlias = tuple[int, Sequence[Value]]
"""As a row, of long texts and lists."""
MAX_COLUMNS = 4096
LONGEST_NAME = 200
MOST_LISTED = 2**16
"""Texts in a list."""
LONGEST_LINE = 2**20
"""Characters."""
_SEPARATORS = (",", ";", "\t")
V = TypeVar("V", str, Value)
_BROKEN = (csv.Error, ValueError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class OpenTable:
    """An open table: its columns, and its rows, which can be read once.

    Whoever asks for rows says the places of the columns needed: what the others hold is left open.
    Rows are counted in ``unit``. ``values`` are rows that may hold long texts, and lists of texts
    if the format has lists.
    """

    format: Literal["csv", "jsonl", "parquet", "conll"]
    columns: tuple[str, ...]
    rows: Callable[[Collection[int]], Iterator[Row]]
    values: Callable[[Collection[int]], Iterator[Values]]
    unit: Literal["line", "row"] = "line"


@contextmanager
def open_table(path: Path) -> Iterator[OpenTable]:
    """Open a csv file with a header, or a file with a JSON object on each line.

    Raises InvalidData for what is neither; so do the rows, which name the line.
    """
    # Lines are split by the csv reader; a byte order mark is no part of the first name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            first = file.read(LONGEST_LINE).lstrip()[:1]
            file.seek(0)
        except UnicodeDecodeError as error:
            raise InvalidData(f"the table must be UTF-8: {error}") from error
        yield _objects(file) if first == "{" else _separated(file)


def _separated(file: IO[str]) -> OpenTable:
    header = _line(file, 1)
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(
        itertools.chain([header], _lines(file, first=2)), delimiter=separator, strict=True
    )
    rows = _checked(reader)
    _, names = next(rows)
    columns = named(names)
    if all(name.lstrip("-+").replace(".", "", 1).isdecimal() for name in columns):
        raise InvalidData(
            f"the first line must name the columns, got the numbers {some(list(columns))}"
        )
    return OpenTable(
        format="csv",
        columns=columns,
        rows=lambda _: _of_width(rows, columns),
        values=lambda _: _of_width(rows, columns),
    )


def _checked(reader: Iterator[list[str]]) -> Iterator[Row]:
    """Yield rows with their lines; empty lines are none."""
    line = 0
    try:
        for row in reader:
            line = int(getattr(reader, "line_num", 0))
            if row:
                yield line, row
    except _BROKEN as error:
        raise InvalidData(f"line {line + 1} cannot be read as csv: {error}") from error


def _of_width(rows: Iterator[Row], columns: Sequence[str]) -> Iterator[Row]:
    for line, row in rows:
        if len(row) != len(columns):
            raise InvalidData(
                f"line {line} has {len(row)} fields, the header {len(columns)} "
                f"({some(list(columns))}): quote fields that hold the separator"
            )
        yield line, row


def _objects(file: IO[str]) -> OpenTable:
    rows = _parsed(file)
    first = next(rows, None)
    if first is None:
        raise InvalidData("the file has no line with a JSON object")
    columns = named(list(first[1]))
    every = itertools.chain([first], rows)
    return OpenTable(
        format="jsonl",
        columns=columns,
        rows=lambda _: _of_keys(every, columns, range(len(columns)), _text),
        values=lambda asked: _of_keys(every, columns, asked, _value),
    )


def _parsed(file: IO[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for line, text in enumerate(_lines(file, first=1), start=1):
        if not text.strip():
            continue
        try:
            found = json.loads(text)
        except _BROKEN as error:
            raise InvalidData(f"line {line} is no JSON object: {error}") from error
        if not isinstance(found, dict):
            raise InvalidData(f"line {line} is no JSON object, but {type(found).__name__}")
        yield line, found


def _of_keys(
    rows: Iterator[tuple[int, dict[str, object]]],
    columns: Sequence[str],
    asked: Collection[int],
    read: Callable[[int, str, object], V],
) -> Iterator[tuple[int, list[V]]]:
    for line, found in rows:
        if len(found) != len(columns) or any(name not in found for name in columns):
            odd = sorted(set(found) ^ set(columns))
            raise InvalidData(f"line {line} has other keys than the first one: {some(odd)}")
        yield (
            line,
            [
                read(line, name, found[name] if place in asked else "")
                for place, name in enumerate(columns)
            ],
        )


def _value(line: int, name: str, value: object) -> Value:
    if not isinstance(value, list):
        return _text(line, name, value)
    if len(value) > MOST_LISTED:
        raise InvalidData(
            f"line {line}, column {name!r} has a list of {len(value):,}: at most {MOST_LISTED:,}"
        )
    return tuple(_text(line, name, each) for each in value)


def _text(line: int, name: str, value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case int() | float() | str():
            return str(value)
        case _:
            kind = "null" if value is None else type(value).__name__
            raise InvalidData(
                f"line {line}, column {name!r}: expected a number or a text, got {kind}"
            )


def named(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns. Raises InvalidData unless each has one of its own."""
    columns = tuple(name.strip() for name in names)
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise InvalidData(
            f"a table must have 1 to {MAX_COLUMNS} columns, named in its first line, got "
            f"{len(columns)}"
        )
    for name in columns:
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidData(
                f"{name[:80]!r} is no name of a column: expected 1 to {LONGEST_NAME} printable "
                "characters in the first line"
            )
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise InvalidData(f"two columns are called {twice!r}: columns need names of their own")
    return columns


def _lines(file: IO[str], *, first: int) -> Iterator[str]:
    for line in itertools.count(first):
        text = _line(file, line)
        if not text:
            return
        yield text


def _line(file: IO[str], line: int) -> str:
    try:
        text = file.readline(LONGEST_LINE + 1)
    except UnicodeDecodeError as error:
        raise InvalidData(f"the table must be UTF-8, after line {line - 1}: {error}") from error
    if len(text) > LONGEST_LINE:
        raise InvalidData(f"line {line} has more than {LONGEST_LINE:,} characters")
    return text
