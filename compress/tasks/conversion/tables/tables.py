"""Make a dataset of a table: columns of numbers become x, one column of labels y. Torch-free.

Legend: N rows, F columns of numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import array_names, labels, writing
from compress.tasks.conversion.numbers import EXACT
from compress.tasks.conversion.tables.rows import OpenTable, Row, open_table
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import MAX_EXAMPLES
from compress.tasks.inspection import CLASS_NAMES, check_class_names
from compress.tasks.reading import Conversion, DatasetReading
from compress.values.errors import InvalidData
from compress.values.file_formats.recognition import FileFormat, recognise
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

TARGETS = frozenset({"target", "label", "labels", "class", "y"})
"""Names of the column of labels that need not be said."""
SPLIT = "split"
"""The name of the column that says train, validation or test of every row, if there is one."""
_LONGEST_NUMBER = 64
"""Characters."""
_CHUNK_ROWS = 4096
_CHUNK_FIELDS = 2**18
"""Rows, and fields, that are parsed at once."""
_NO_PARQUET = (
    "the file is a Parquet table, and this service has no pyarrow to read it: send the table as "
    'csv (pandas.read_parquet("FILE").to_csv("FILE.csv", index=False)), or let who runs the '
    "service install featherweight[parquet]"
)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Which column is what, by their places."""

    features: tuple[int, ...]
    target: int
    split: int | None
    notes: tuple[str, ...]

    @property
    def places(self) -> frozenset[int]:
        """Those of all columns that are read."""
        return frozenset(
            (*self.features, self.target, *(() if self.split is None else (self.split,)))
        )


@dataclass(kw_only=True)
class _Rows:
    """The rows of a split, as far as they are read."""

    pieces: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    codes: list[int] = field(default_factory=list[int])
    places: dict[str, int] = field(default_factory=dict[str, int])
    rounded: NDArray[np.bool_] | None = None
    """``(F,)``: in which columns whole numbers are so large that float32 rounds them."""

    def add(self, x_NF: NDArray[np.float64], targets: Sequence[str]) -> None:
        """Take rows, each with its label. Raises InvalidData for too many classes."""
        with np.errstate(over="ignore"):
            kept_NF = x_NF.astype(np.float32)
        is_rounded = (kept_NF != x_NF) & (np.rint(x_NF) == x_NF) & (np.abs(x_NF) > EXACT)
        rounded = is_rounded.any(axis=0)
        self.rounded = rounded if self.rounded is None else self.rounded | rounded
        self.pieces.append(kept_NF)
        self.codes.extend(self.places.setdefault(text, len(self.places)) for text in targets)
        if len(self.places) > MAX_CLASSES:
            raise InvalidData(f"the target has more than {MAX_CLASSES:,} different values")


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset of the table ``path`` to ``target``. Raises InvalidData."""
    with _opened(path) as table:
        columns = _assigned(table.columns, reading)
        found = _read(table, columns, caution)
    _write(target, found, width := len(columns.features), counted := _counted(found))
    names = [table.columns[place] for place in columns.features]
    return Conversion(
        format=table.format,
        notes=(
            *columns.notes,
            f"the columns of x are, in this order: {some(names)} ({width} in all)",
            *counted.notes,
        ),
        warnings=(*counted.warnings, *_rounded(found, names)),
    )


def _rounded(found: dict[Split, _Rows], names: Sequence[str]) -> Iterator[str]:
    columns = np.any([rows.rounded for rows in found.values() if rows.rounded is not None], axis=0)
    if columns.any():
        said = some([name for name, is_one in zip(names, columns, strict=True) if is_one])
        yield (
            f"whole numbers beyond {EXACT:,} in {said} are rounded to float32: if they are ids, "
            "number them anew, for some are the same now"
        )


def _opened(path: Path) -> AbstractContextManager[OpenTable]:
    if recognise(path) != FileFormat.PARQUET:
        return open_table(path)
    try:
        from compress.tasks.conversion.tables.parquet import open_parquet
    except ImportError as error:
        raise InvalidData(_NO_PARQUET) from error
    return open_parquet(path)


def _assigned(names: Sequence[str], reading: DatasetReading) -> _Columns:
    """Decide which column is what. Raises InvalidData naming the columns there are."""
    target, notes = reading.target, ()
    if target is None:
        likely = [name for name in names if name.lower() in TARGETS]
        if len(likely) != 1:
            raise InvalidData(
                f"which column holds the labels? Say target: the table has {some(list(names))}"
            )
        target, notes = likely[0], (f"labels are those of the column {likely[0]!r}",)
    split = SPLIT if SPLIT in names and SPLIT not in (target, *(reading.features or ())) else None
    taken = {target, split}
    features = reading.features or tuple(name for name in names if name not in taken)
    for name in (target, *features):
        if name not in names:
            raise InvalidData(f"the table has no column {name!r}: it has {some(list(names))}")
    if target in features or len(set(features)) < len(features) or not features:
        raise InvalidData(
            f"features must name columns once each, and not the target {target!r}, got "
            f"{some(list(features))}"
        )
    return _Columns(
        features=tuple(names.index(name) for name in features),
        target=names.index(target),
        split=None if split is None else names.index(split),
        notes=notes,
    )


def _read(table: OpenTable, columns: _Columns, caution: npz.Caution | None) -> dict[Split, _Rows]:
    found: dict[Split, _Rows] = {}
    begin, count, rows = time.monotonic(), 0, table.rows(columns.places)
    size = max(1, min(_CHUNK_ROWS, _CHUNK_FIELDS // len(table.columns)))
    while chunk := list(islice(rows, size)):
        count += len(chunk)
        _check_size(count, len(columns.features))
        if caution is not None and time.monotonic() - begin > caution.seconds:
            raise InvalidData(
                f"reading the table takes longer than {caution.seconds:g} seconds: send fewer "
                "rows, or an npz of the same numbers"
            )
        for split, part in _by_split(chunk, table, columns):
            targets = [_label(row, table, columns.target) for row in part]
            x_NF = _numbers(part, table, columns.features)
            found.setdefault(split, _Rows()).add(x_NF, targets)
    if "train" not in found:
        raise InvalidData(f"the table has no row of train, but of {sorted(found) or 'nothing'}")
    return found


def _check_size(rows: int, columns: int) -> None:
    if rows > MAX_EXAMPLES or rows * columns * np.dtype("f4").itemsize > npz.MAX_BYTES:
        raise InvalidData(
            f"the table has more than {rows:,} rows of {columns} numbers: at most "
            f"{MAX_EXAMPLES:,} rows and {npz.MAX_BYTES:,} bytes of numbers are taken"
        )


def _by_split(
    chunk: Sequence[Row], table: OpenTable, columns: _Columns
) -> Iterator[tuple[Split, list[Row]]]:
    if columns.split is None:
        yield "train", list(chunk)
        return
    parts: dict[Split, list[Row]] = {}
    for line, texts in chunk:
        said = texts[columns.split].strip().lower()
        split = array_names.SPLITS_BY_NAME.get(said)
        if split is None:
            raise InvalidData(
                f"{_where((line, texts), table, columns.split)}: {said[:80]!r} is none of train, "
                "validation and test; if the column means something else, give it another name"
            )
        parts.setdefault(split, []).append((line, texts))
    yield from parts.items()


def _label(row: Row, table: OpenTable, place: int) -> str:
    text = row[1][place].strip()
    if not text:
        raise InvalidData(f"{_where(row, table, place)}: the label is missing")
    return text


def _numbers(rows: Sequence[Row], table: OpenTable, places: Sequence[int]) -> NDArray[np.float64]:
    """Return the numbers ``(N, F)``. Raises InvalidData with line and column of what is none."""
    texts = [[row[place] for place in places] for _, row in rows]
    try:
        # Numpy makes all texts as wide as the longest one.
        if max(max(map(len, each)) for each in texts) > _LONGEST_NUMBER:
            raise ValueError("a field is too long")
        x_NF = np.array(texts).astype(np.float64)
    except ValueError as error:
        raise InvalidData(_first_text(rows, table, places)) from error
    if not np.isfinite(x_NF).all():
        row, column = (int(each[0]) for each in np.nonzero(~np.isfinite(x_NF)))
        raise InvalidData(
            f"{_where(rows[row], table, places[column])} is {texts[row][column].strip()!r}: fill "
            "in a number, or leave the row out"
        )
    return x_NF


def _first_text(rows: Sequence[Row], table: OpenTable, places: Sequence[int]) -> str:
    """Say where the first thing is that is no number."""
    for row in rows:
        for place in places:
            text = row[1][place]
            if not _is_number(text):
                said = f"is {text[:80]!r}, which is no number" if text.strip() else "is empty"
                return (
                    f"{_where(row, table, place)} {said}: encode it as your network was trained, "
                    "or leave the column out of features"
                )
    return "a field is no number"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) <= _LONGEST_NUMBER


def _where(row: Row, table: OpenTable, place: int) -> str:
    return f"{table.unit} {row[0]}, column {table.columns[place]!r}"


def _counted(found: dict[Split, _Rows]) -> labels.CountedLabels:
    texts: dict[Split, tuple[NDArray[np.int64], Sequence[str]]] = {}
    for split, rows in found.items():
        names = check_class_names("the target", list(rows.places))
        texts[split] = (np.array(rows.codes, np.int64), names)
    return labels.of_texts(texts)


def _write(
    target: IO[bytes], found: dict[Split, _Rows], width: int, counted: labels.CountedLabels
) -> None:
    with writing.dataset_writer(target) as writer:
        for split in SPLITS:
            if split in found:
                rows = found[split]
                writer.add(f"x_{split}", (len(rows.codes), width), "<f4", rows.pieces)
                writer.add_labels(f"y_{split}", counted.codes[split])
        if counted.class_names:
            writer.add_texts(CLASS_NAMES, counted.class_names)
