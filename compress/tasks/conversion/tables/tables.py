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
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import array_names, labels, targets, writing
from compress.tasks.conversion.numbers import EXACT
from compress.tasks.conversion.tables.rows import OpenTable, Row, open_table
from compress.tasks.conversion.targets import ReadTargets
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import MAX_EXAMPLES
from compress.tasks.formats.forms import TARGETS
from compress.tasks.inspection import check_class_names
from compress.tasks.names import TaskName
from compress.tasks.reading import SEVERAL_TARGETS, Conversion, DatasetReading
from compress.values.errors import InvalidData
from compress.values.file_formats.recognition import FileFormat, recognise
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

LIKELY = frozenset({"target", "label", "labels", "class", "y"})
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
    targets: tuple[int, ...]
    split: int | None
    notes: tuple[str, ...]

    @property
    def places(self) -> frozenset[int]:
        """Those of all columns that are read."""
        return frozenset(
            (*self.features, *self.targets, *(() if self.split is None else (self.split,)))
        )


@dataclass(kw_only=True)
class _Rows:
    """The rows of a split, as far as they are read."""

    pieces: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    numbers: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    codes: list[int] = field(default_factory=list[int])
    places: dict[str, int] = field(default_factory=dict[str, int])
    rounded: NDArray[np.bool_] | None = None
    """``(F,)``: in which columns whole numbers are so large that float32 rounds them."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.pieces))

    def label(self, texts: Sequence[str]) -> None:
        """Take the classes of some rows. Raises InvalidData for too many."""
        self.codes.extend(self.places.setdefault(text, len(self.places)) for text in texts)
        if len(self.places) > MAX_CLASSES:
            raise InvalidData(f"the target has more than {MAX_CLASSES:,} different values")

    def add(self, x_NF: NDArray[np.float64]) -> None:
        """Take rows."""
        with np.errstate(over="ignore"):
            kept_NF = x_NF.astype(np.float32)
        is_rounded = (kept_NF != x_NF) & (np.rint(x_NF) == x_NF) & (np.abs(x_NF) > EXACT)
        rounded = is_rounded.any(axis=0)
        self.rounded = rounded if self.rounded is None else self.rounded | rounded
        self.pieces.append(kept_NF)


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset of the table ``path`` to ``target``. Raises InvalidData."""
    with opened(path) as table:
        columns = _assigned(table.columns, reading)
        found = _read(table, columns, caution, reading.task)
    counted = _answered(found, reading.task, [table.columns[place] for place in columns.targets])
    _write(target, found, width := len(columns.features), counted)
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


def opened(path: Path) -> AbstractContextManager[OpenTable]:
    """Open a csv, jsonl or parquet file. Raises InvalidData."""
    if recognise(path) != FileFormat.PARQUET:
        return open_table(path)
    try:
        from compress.tasks.conversion.tables.parquet import open_parquet
    except ImportError as error:
        raise InvalidData(_NO_PARQUET) from error
    return open_parquet(path)


def _assigned(names: Sequence[str], reading: DatasetReading) -> _Columns:
    """Decide which column is what. Raises InvalidData naming the columns there are."""
    targets, notes = reading.targets, ()
    if not targets and TARGETS[reading.task].are_needed:
        likely = [name for name in names if name.lower() in LIKELY]
        if len(likely) != 1:
            raise InvalidData(
                f"which column holds the labels? Say target: the table has {some(list(names))}"
            )
        targets, notes = (likely[0],), (f"labels are those of the column {likely[0]!r}",)
    is_split = SPLIT in names and SPLIT not in (*targets, *(reading.features or ()))
    split = SPLIT if is_split else None
    taken = {*targets, split}
    features = reading.features or tuple(name for name in names if name not in taken)
    for name in (*targets, *features):
        if name not in names:
            raise InvalidData(f"the table has no column {name!r}: it has {some(list(names))}")
    chosen = (*targets, *features)
    if len(set(chosen)) < len(chosen) or not features:
        raise InvalidData(
            f"features must name columns once each, and not the target {some(list(targets))}, got "
            f"{some(list(features))}"
        )
    return _Columns(
        features=tuple(names.index(name) for name in features),
        targets=tuple(names.index(name) for name in targets),
        split=None if split is None else names.index(split),
        notes=notes,
    )


def _read(
    table: OpenTable, columns: _Columns, caution: npz.Caution | None, task: TaskName
) -> dict[Split, _Rows]:
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
            rows_of = found.setdefault(split, _Rows())
            if task in SEVERAL_TARGETS:
                rows_of.numbers.append(_numbers(part, table, columns.targets))
            elif columns.targets:
                rows_of.label([_label(row, table, columns.targets[0]) for row in part])
            rows_of.add(_numbers(part, table, columns.features))
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


def _answered(found: dict[Split, _Rows], task: TaskName, columns: Sequence[str]) -> ReadTargets:
    """What the rows of all splits are answered with. Raises InvalidData."""
    if task in SEVERAL_TARGETS:
        checked = {"multilabel": targets.labels_of, "regression": targets.numbers_of}[task]
        name = f"the target {some(list(columns))}"
        arrays: dict[Split, NDArray[Any]] = {
            split: checked(np.concatenate(rows.numbers), name) for split, rows in found.items()
        }
        names = check_class_names("target", columns) if task == "multilabel" else ()
        return ReadTargets(arrays=arrays, class_names=names)
    return targets.of_labels(_counted(found)) if columns else ReadTargets()


def _counted(found: dict[Split, _Rows]) -> labels.CountedLabels:
    texts: dict[Split, tuple[NDArray[np.int64], Sequence[str]]] = {}
    for split, rows in found.items():
        names = check_class_names("the target", list(rows.places))
        texts[split] = (np.array(rows.codes, np.int64), names)
    return labels.of_texts(texts)


def _write(target: IO[bytes], found: dict[Split, _Rows], width: int, counted: ReadTargets) -> None:
    with writing.dataset_writer(target) as writer:
        for split in SPLITS:
            if split in found:
                rows = found[split]
                writer.add(f"x_{split}", (rows.count, width), "<f4", rows.pieces)
                counted.write(writer, split)
        counted.write_names(writer)
