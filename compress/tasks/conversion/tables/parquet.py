"""Read the rows of a stranger's parquet table within limits. Torch-free; needs pyarrow.

A file says what it takes packed, not what it means: 400 bytes can hold thousands of times a text of
megabytes. So what it declares is bounded before anything is read, texts stay codes into their
dictionary, and only the columns that are asked for are decoded, a few rows at a time.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compress.tasks.conversion.tables.rows import (
    LONGEST_LINE,
    LONGEST_NAME,
    MOST_LISTED,
    OpenTable,
    Value,
    named,
)
from compress.tasks.formats import npz
from compress.tasks.formats.example_forms import MAX_EXAMPLES
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES

_Array: TypeAlias = Any
"""Of pyarrow, which has no types."""
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_LARGEST_FOOTER = 16 * 2**20
_MOST_GROUPS = 10_000
"""Row groups, and whatever else a footer lists."""
_DEEPEST = 32
_LARGEST_NUMBERS = 256 * 2**20
"""Bytes, unpacked, of a column of numbers in one row group."""
_LARGEST_TEXTS = 64 * 2**20
"""Bytes, unpacked, of a column of texts in one row group: one text can be all of it."""
_BATCH_VALUES = 2**18
_BATCH_ROWS = 4096
_BATCH_LISTS = 256
_MOST_LISTED = 2**25
"""Texts in all lists of a column in one row group."""
_READ_BYTES = 2**14
"""Of a column at once."""
_INDEX = re.compile(r"__index_level_\d+__")
"""Columns in which pandas keeps the index of a frame."""
_BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column that can be read: where it lies among those of the file, and what it holds."""

    name: str
    place: int
    path: str
    is_text: bool
    is_list: bool = False
    is_long: bool = False


@contextmanager
def open_parquet(path: Path) -> Iterator[OpenTable]:
    """Open a parquet file; its rows are of the columns that are asked for, of which any may be odd.

    Raises InvalidData for what is none or declares more than a table may; so do the rows.
    """
    # The default pool reserves a gigabyte of addresses, which is what the process is bounded in.
    pa.set_memory_pool(pa.system_memory_pool())
    with path.open("rb") as file:
        _check_ends(file)
        with _in_words("its footer cannot be read"):
            metadata = _opened(file).metadata
            schema = metadata.schema.to_arrow_schema()
        _check_declared(metadata)
        names = schema.names
        kept = [place for place, name in enumerate(names) if not _INDEX.fullmatch(name)]
        fields = [schema.field(place) for place in kept]
        yield OpenTable(
            format="parquet",
            columns=named([names[place] for place in kept]),
            rows=partial(_rows, file, metadata, fields, False),
            values=partial(_rows, file, metadata, fields, True),
            unit="row",
        )


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Make InvalidData of what the parser raises, but of a lack of memory."""
    try:
        yield
    except MemoryError:
        raise
    except _BROKEN as error:
        said = " ".join(str(error).split())[:200]
        raise InvalidData(f"the parquet file is damaged: {what} ({said})") from error


def _opened(file: IO[bytes], metadata: _Array = None, texts: Sequence[str] = ()) -> _Array:
    return pq.ParquetFile(
        file,
        buffer_size=_READ_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
        thrift_string_size_limit=_LARGEST_FOOTER,
        thrift_container_size_limit=_MOST_GROUPS,
        schema_depth_limit=_DEEPEST,
        metadata=metadata,
        read_dictionary=list(texts),
    )


def _check_ends(file: IO[bytes]) -> None:
    """Raise InvalidData unless the file begins and ends as parquet, and its footer is small."""
    head, size = file.read(4), file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    if _ENCRYPTED in (head, tail[4:]):
        raise InvalidData("the parquet file is encrypted: write it without encryption")
    if size < 12 or head != _MAGIC or tail[4:] != _MAGIC:
        raise InvalidData("the parquet file is cut: it does not end with PAR1; send it again")
    (footer,) = struct.unpack("<I", tail[:4])
    if footer > min(_LARGEST_FOOTER, size - 12):
        raise InvalidData(
            f"the parquet file says that its footer has {footer:,} bytes: it has {size:,} in all, "
            f"and a footer may have {_LARGEST_FOOTER:,}; write fewer row groups (row_group_size=)"
        )


def _check_declared(metadata: _Array) -> None:
    groups = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    if metadata.num_rows > MAX_EXAMPLES:
        raise InvalidData(
            f"the table has {metadata.num_rows:,} rows: at most {MAX_EXAMPLES:,} are taken"
        )
    if min(groups, default=0) < 0 or sum(groups) != metadata.num_rows:
        raise InvalidData(
            f"the parquet file is damaged: it says that it has {metadata.num_rows:,} rows, and its "
            f"row groups say {sum(groups):,}"
        )


def _rows(
    file: IO[bytes],
    metadata: _Array,
    fields: Sequence[_Array],
    is_long: bool,
    asked: Collection[int],
) -> Iterator[Any]:
    """Yield the rows of the columns at the places ``asked``; the texts of the others are empty.

    With ``is_long``, texts may be long and columns may hold lists.
    """
    leaves = _leaves(metadata)
    read = _listed_column if is_long else _column
    columns = [read(leaves, fields[place]) for place in sorted(asked)]
    _check_sizes(metadata, columns)
    texts = [column.path for column in columns if column.is_text]
    with _in_words("its columns cannot be read"):
        source = _opened(file, metadata, texts)
    row: list[Value] = [""] * len(fields)
    places, number = sorted(asked), 0
    for batch in _batches(source, metadata, columns):
        said = [
            _values(batch.column(place), columns[place], number) for place in range(len(places))
        ]
        for values in zip(*said, strict=True):
            number += 1
            for place, text in zip(places, values, strict=True):
                row[place] = text
            yield number, tuple(row)


def _leaves(metadata: _Array) -> Mapping[str, Sequence[int]]:
    """Return the places of the columns that are stored, by path: that of a nested one has dots."""
    found: dict[str, list[int]] = {}
    for place in range(metadata.num_columns):
        found.setdefault(metadata.schema.column(place).path, []).append(place)
    return found


def _column(leaves: Mapping[str, Sequence[int]], field: _Array) -> _Column:
    """Return where a column lies. Raises InvalidData for what is neither numbers nor texts."""
    found = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_text = any(check(found) for check in _TEXTS)
    if not is_text and not any(check(found) for check in _NUMBERS):
        raise InvalidData(
            f"column {field.name!r} holds {str(found)[:80]}: a table is of numbers, with texts as "
            "labels. Encode it as your network was trained (.astype('float32')), or leave the "
            "column out of features"
        )
    places = leaves.get(field.name, ())
    if len(places) != 1:
        raise InvalidData(f"column {field.name!r} is not one column of the parquet file")
    return _Column(name=field.name, place=places[0], path=field.name, is_text=is_text)


def _listed_column(leaves: Mapping[str, Sequence[int]], field: _Array) -> _Column:
    """Return where a column of texts or of lists of texts lies. Raises InvalidData as _column."""
    if not any(check(field.type) for check in _LISTS):
        return replace(_column(leaves, field), is_long=True)
    inner = pa.field(field.name, field.type.value_type)
    paths = [path for path in leaves if path.startswith(f"{field.name}.")]
    if len(paths) != 1:
        raise InvalidData(f"column {field.name!r} is not one list of the parquet file")
    found = _column({field.name: leaves[paths[0]]}, inner)
    return replace(found, path=paths[0], is_list=True, is_long=True)


_TEXTS: tuple[Callable[[_Array], bool], ...] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
)
_LISTS: tuple[Callable[[_Array], bool], ...] = (pa.types.is_list, pa.types.is_large_list)
_NUMBERS: tuple[Callable[[_Array], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
)


def _check_sizes(metadata: _Array, columns: Sequence[_Column]) -> None:
    """Raise InvalidData if the columns declare more than is read, before they are."""
    numbers = sum(not column.is_text for column in columns)
    if metadata.num_rows * numbers * np.dtype("f4").itemsize > npz.MAX_BYTES:
        raise InvalidData(
            f"the table has {metadata.num_rows:,} rows of {numbers} numbers: at most "
            f"{npz.MAX_BYTES:,} bytes of numbers are taken"
        )
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group)
        for column in columns:
            chunk = found.column(column.place)
            if column.is_list and not 0 <= chunk.num_values <= _MOST_LISTED:
                raise InvalidData(
                    f"column {column.name!r} has {chunk.num_values:,} values in row group "
                    f"{group + 1}, more than {_MOST_LISTED:,}: write smaller row groups "
                    "(row_group_size=10_000)"
                )
            size = chunk.total_uncompressed_size
            most = _LARGEST_TEXTS if column.is_text else _LARGEST_NUMBERS
            if not 0 <= size <= most:
                raise InvalidData(
                    f"column {column.name!r} has {size:,} bytes in row group {group + 1}, more "
                    f"than {most:,}: write smaller row groups (row_group_size=100_000)"
                )


def _batches(source: _Array, metadata: _Array, columns: Sequence[_Column]) -> Iterator[_Array]:
    names = [column.name for column in columns]
    most = _BATCH_LISTS if any(column.is_list for column in columns) else _BATCH_ROWS
    size = max(1, min(most, _BATCH_VALUES // len(names)))
    for group in range(metadata.num_row_groups):
        rows = 0
        batches = source.iter_batches(size, row_groups=[group], columns=names, use_threads=False)
        while True:
            with _in_words(f"row group {group + 1} cannot be read"):
                batch = next(batches, None)
                batch = batch if batch is None else batch.select(names)
            if batch is None:
                break
            rows += batch.num_rows
            yield batch
        if rows != metadata.row_group(group).num_rows:
            raise InvalidData(
                f"the parquet file is damaged: row group {group + 1} holds {rows:,} rows, and says "
                f"{metadata.row_group(group).num_rows:,}"
            )


def _values(values: _Array, column: _Column, before: int) -> Sequence[Value]:
    """Return a text, or a list of texts, for each value. ``before`` rows lie before the first."""
    if not column.is_list:
        return _texts(values, column, before)
    _check_complete(values, column, before)
    with _in_words(f"column {column.name!r} cannot be read"):
        ends_N = values.offsets.to_numpy()
        flat = values.values.slice(ends_N[0], ends_N[-1] - ends_N[0])
        longest = int(np.diff(ends_N).max(initial=0))
    if longest > MOST_LISTED:
        raise InvalidData(
            f"column {column.name!r} has a list of {longest:,}: at most {MOST_LISTED:,}"
        )
    if flat.null_count:
        place = int(np.flatnonzero(flat.is_null().to_numpy(False))[0]) + ends_N[0]
        row = int(np.searchsorted(ends_N, place, side="right"))
        raise InvalidData(
            f"row {before + row}, column {column.name!r} has a missing value (null) in its list"
        )
    texts = _texts(flat, column, before)
    bounds = (ends_N - ends_N[0]).tolist()
    return [tuple(texts[begin:end]) for begin, end in pairwise(bounds)]


def _check_complete(values: _Array, column: _Column, before: int) -> None:
    """Raise InvalidData with the row of the first value that is missing."""
    if values.null_count:
        row = before + 1 + int(np.flatnonzero(values.is_null().to_numpy(False))[0])
        raise InvalidData(
            f"row {row}, column {column.name!r} is missing (null): fill in a value, or leave the "
            "row out"
        )


def _texts(values: _Array, column: _Column, before: int) -> Sequence[str]:
    """Return a text for each value. ``before`` rows lie before the first one."""
    _check_complete(values, column, before)
    with _in_words(f"column {column.name!r} cannot be read"):
        if column.is_text:
            return _of_dictionary(values, column)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        return list(map(str, values.to_pylist()))


def _of_dictionary(values: _Array, column: _Column) -> Sequence[str]:
    """Return texts of which each is made once, after all of them were measured."""
    known, name = values.dictionary, column.name
    if len(known) > MAX_CLASSES and not column.is_long:
        raise InvalidData(
            f"column {name!r} has more than {MAX_CLASSES:,} different texts, more than classes may "
            "be; if it holds no labels, encode it, or leave the column out of features"
        )
    longest = max(pc.call_function("binary_length", [known]).drop_null().to_numpy(), default=0)
    if longest > (LONGEST_LINE if column.is_long else 4 * LONGEST_NAME):
        raise InvalidData(
            f"column {name!r} holds a text of {longest:,} bytes: "
            + (
                f"a text may have {LONGEST_LINE:,}"
                if column.is_long
                else f"labels and splits may have {LONGEST_NAME} characters"
            )
        )
    used, codes = np.unique(values.indices.to_numpy(), return_inverse=True)
    texts = known.take(pa.array(used)).to_pylist()
    if None in texts:
        raise InvalidData(f"column {name!r} has a missing value (null) among its texts")
    return [texts[code] for code in codes]
