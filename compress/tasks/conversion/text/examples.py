"""Read texts, pairs and tagged sentences of a table, row by row, as numbers of words. Torch-free.

What is wrong with a row is said with its line and column.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from compress.tasks.conversion import array_names
from compress.tasks.conversion.tables.rows import OpenTable, Value
from compress.tasks.conversion.text.columns import TextColumns
from compress.tasks.conversion.text.perturbing import Perturbation
from compress.tasks.conversion.text.ragged import Ragged
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import MAX_EXAMPLES
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, Split
from compress.values.shown import some

_CHECKED_ROWS = 1024
"""So often the time is looked at."""


class Cutter(Protocol):
    """What makes numbers of texts. Each number stands for a word, whatever it means."""

    max_length: int

    def text(self, text: str) -> list[int]:
        """Return the numbers of a text, and one more than ``max_length`` if it has more words."""
        ...

    def tokens(self, tokens: Sequence[str]) -> list[int]:
        """Return the numbers of words."""
        ...


@dataclass(kw_only=True)
class TextSplit:
    """The examples of a split, as far as they are read; ``tags`` are empty where none belong."""

    sides: tuple[Ragged, ...]
    perturbed: tuple[Ragged, ...]
    tags: Ragged = field(default_factory=Ragged)
    labels: array[int] = field(default_factory=lambda: array("i"))
    places: dict[str, int] = field(default_factory=dict[str, int])
    """The number of each label or tag."""
    lines: list[int] = field(default_factory=list[int])
    """The line of the first one of each."""
    num_cut: int = 0

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.sides[0])

    @property
    def longest(self) -> int:
        """Words of the longest text, perturbed ones too."""
        return max(ragged.longest for ragged in (*self.sides, *self.perturbed))

    def label(self, text: str, line: int) -> int:
        """Return the number of a label. Raises InvalidData for too many different ones."""
        if text not in self.places:
            self.lines.append(line)
            if len(self.lines) > MAX_CLASSES:
                raise InvalidData(f"there are more than {MAX_CLASSES:,} different labels")
        return self.places.setdefault(text, len(self.places))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A field of the table, for messages."""

    table: OpenTable
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.table.unit} {self.line}, column {self.table.columns[self.column]!r}"


def read(
    table: OpenTable,
    columns: TextColumns,
    cutter: Cutter,
    *,
    are_tagged: bool,
    caution: npz.Caution | None,
) -> dict[Split, TextSplit]:
    """Read all rows. Raises InvalidData with line and column."""
    found: dict[Split, TextSplit] = {}
    begin, add = time.monotonic(), _add_tagged if are_tagged else _add_texts
    for count, (line, values) in enumerate(table.values(columns.places), start=1):
        if count % _CHECKED_ROWS == 0:
            _check_time(begin, caution)
        if count > MAX_EXAMPLES:
            raise InvalidData(f"the table has more than {MAX_EXAMPLES:,} rows")
        split = _split(_Place(table=table, line=line, column=columns.split or 0), values, columns)
        if split not in found:
            made = [tuple(Ragged() for _ in columns.sides) for _ in range(2)]
            found[split] = TextSplit(sides=made[0], perturbed=made[1])
        add(found[split], split, values, columns, cutter, _Place(table=table, line=line, column=0))
    if "train" not in found:
        raise InvalidData(f"the table has no row of train, but of {sorted(found) or 'nothing'}")
    return found


def check_labels(found: dict[Split, TextSplit], table: OpenTable, columns: TextColumns) -> None:
    """Raise InvalidData, with the first line of it, for a label that no training row has."""
    known = found["train"].places
    assert columns.target is not None
    for split, examples in found.items():
        for text, line in zip(examples.places, examples.lines, strict=True):
            if text not in known:
                place = _Place(table=table, line=line, column=columns.target)
                raise InvalidData(
                    f"{place}: {text[:80]!r} is the label of a row of {split} and of none of "
                    f"train, which has {some(sorted(known))}"
                )


def _add_texts(
    into: TextSplit,
    split: Split,
    values: Sequence[Value],
    columns: TextColumns,
    cutter: Cutter,
    row: _Place,
) -> None:
    """Take a text, or a pair, with its label."""
    noise, is_cut = Perturbation(len(into)), False
    for number, column in enumerate(columns.sides):
        place = _Place(table=row.table, line=row.line, column=column)
        text = _text(values[column], place)
        words = cutter.text(text)
        if not words:
            raise InvalidData(f"{place} has no word, got {text[:80]!r}: leave the row out")
        is_cut |= len(words) > cutter.max_length
        into.sides[number].add(words[: cutter.max_length])
        if split != "test":
            typed = cutter.text(noise.text(text))
            into.perturbed[number].add(typed[: cutter.max_length] or words[: cutter.max_length])
    into.num_cut += is_cut
    if columns.target is None:
        return
    place = _Place(table=row.table, line=row.line, column=columns.target)
    into.labels.append(into.label(_label(values[columns.target], place), row.line))


def _add_tagged(
    into: TextSplit,
    split: Split,
    values: Sequence[Value],
    columns: TextColumns,
    cutter: Cutter,
    row: _Place,
) -> None:
    """Take a sentence with its tags."""
    (column,) = columns.sides
    assert columns.target is not None
    words_of = _Place(table=row.table, line=row.line, column=column)
    tags_of = _Place(table=row.table, line=row.line, column=columns.target)
    tokens, tags = _listed(values[column], words_of), _listed(values[columns.target], tags_of)
    if len(tokens) != len(tags):
        raise InvalidData(
            f"{row.table.unit} {row.line} has {len(tokens)} words and {len(tags)} tags: each word "
            f"needs one tag (columns {row.table.columns[column]!r} and "
            f"{row.table.columns[columns.target]!r})"
        )
    most = cutter.max_length
    into.sides[0].add(cutter.tokens(tokens[:most]))
    into.tags.add([into.label(_label(tag, tags_of), row.line) for tag in tags[:most]])
    if split != "test":
        into.perturbed[0].add(cutter.tokens(Perturbation(len(into)).tokens(tokens[:most])))
    into.num_cut += len(tokens) > most


def _text(value: Value, place: _Place) -> str:
    if not isinstance(value, str):
        raise InvalidData(f"{place}: expected a text, got a list of {len(value)}")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError as error:
        raise InvalidData(
            f"{place} holds half of a character (a lone surrogate) at {error.start}: write it anew "
            "in UTF-8"
        ) from error
    return value


def _listed(value: Value, place: _Place) -> Sequence[str]:
    """Return words or tags; a text is cut at its blanks."""
    words = _text(value, place).split() if isinstance(value, str) else value
    if not words:
        raise InvalidData(f"{place} is empty: leave the row out")
    for number, word in enumerate(words):
        if not _text(word, place).strip():
            raise InvalidData(f"{place}: number {number} of the list is empty")
    return words


def _label(value: Value, place: _Place) -> str:
    text = _text(value, place).strip()
    if not text or text.lower() == "nan":
        raise InvalidData(f"{place}: the label is missing, got {text!r}")
    return text


def _split(place: _Place, values: Sequence[Value], columns: TextColumns) -> Split:
    if columns.split is None:
        return "train"
    said = _text(values[columns.split], place).strip().lower()
    split = array_names.SPLITS_BY_NAME.get(said)
    if split is None:
        raise InvalidData(
            f"{place}: {said[:80]!r} is none of train, validation and test; if the column means "
            "something else, give it another name"
        )
    return split


def _check_time(begin: float, caution: npz.Caution | None) -> None:
    if caution is not None and time.monotonic() - begin > caution.seconds:
        raise InvalidData(
            f"reading the texts takes longer than {caution.seconds:g} seconds: send fewer rows, or "
            "an npz of ids"
        )
