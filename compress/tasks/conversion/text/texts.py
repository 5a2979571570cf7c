"""Make a dataset of texts: csv, jsonl, parquet, or CoNLL for tagged sentences. Torch-free.

Arrays: ``x_<split>`` int32 (N, L) of ids, (N, 2, L) of pairs, (N, 4, L) of parts of words, padded
with 0 at the right; ``y_<split>`` classes (N,) or tags (N, L), -100 where padded; the words of the
ids; and a perturbed copy of validation.

Legend: N examples, P ids of a word or sides of a pair, L words of the longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import labels, writing
from compress.tasks.conversion.labels import CountedLabels
from compress.tasks.conversion.tables import tables
from compress.tasks.conversion.tables.rows import OpenTable
from compress.tasks.conversion.text import columns as text_columns
from compress.tasks.conversion.text import examples, writing_words
from compress.tasks.conversion.text.conll import open_conll
from compress.tasks.conversion.text.cutting import WordCutter
from compress.tasks.conversion.text.examples import TextSplit
from compress.tasks.conversion.text.given_tokenizer import GivenTokenizer
from compress.tasks.conversion.text.ragged import Ragged
from compress.tasks.conversion.writing import DatasetWriter
from compress.tasks.formats import npz
from compress.tasks.formats.forms import TARGETS
from compress.tasks.formats.id_form import PERTURBED
from compress.tasks.formats.tag_targets import PADDED
from compress.tasks.formats.words import Words
from compress.tasks.inspection import CLASS_NAMES, check_class_names
from compress.tasks.names import EXAMPLES
from compress.tasks.reading import Conversion, DatasetReading
from compress.values.file_formats.recognition import FileFormat, recognise
from compress.values.measurement import SPLITS, Split

_PIECE_VALUES = 2**18
_Tables = Sequence[NDArray[np.int32] | None]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """All examples of a file, with the ids of their words and the numbers of their labels."""

    splits: Mapping[Split, TextSplit]
    tables: _Tables
    words: Words
    counted: CountedLabels
    are_tagged: bool

    @property
    def has_targets(self) -> bool:
        """Whether examples have labels or tags."""
        return bool(self.counted.codes)

    @property
    def longest(self) -> int:
        """Words of the longest text."""
        return max(split.longest for split in self.splits.values())

    def targets(self, split: Split) -> NDArray[np.int64]:
        """Return classes ``(N,)`` or tags ``(N, L)`` of a split."""
        assert self.has_targets
        examples, table = self.splits[split], self.counted.codes[split]
        if not self.are_tagged:
            return table[np.frombuffer(examples.labels, np.int32)]
        pieces = examples.tags.padded(
            self.longest, size=len(examples), table=table.astype(np.int32), filling=PADDED
        )
        return np.concatenate([*pieces]).astype(np.int64)


def convert(
    path: Path,
    target: IO[bytes],
    reading: DatasetReading,
    *,
    tokenizer: bytes | None = None,
    caution: npz.Caution | None = None,
) -> Conversion:
    """Write the dataset of the file of texts ``path`` to ``target``.

    ``tokenizer`` is the ``tokenizer.json`` that came with it, if one did. Raises InvalidData.
    """
    are_tagged = reading.task == "sequence_labelling"
    cutter = WordCutter(reading) if tokenizer is None else GivenTokenizer(tokenizer, reading)
    with _opened(path, are_tagged=are_tagged) as table:
        columns = text_columns.assigned(table.columns, reading)
        splits = examples.read(table, columns, cutter, are_tagged=are_tagged, caution=caution)
        if columns.target is not None:
            examples.check_labels(splits, table, columns)
    counted = CountedLabels(codes={}) if columns.target is None else _counted(splits)
    held = _held_out(splits, counted, reading)
    numbered = cutter.numbered(_trained(splits["train"], held))
    read = _Read(
        splits=splits,
        tables=numbered.tables,
        words=numbered.words,
        counted=counted,
        are_tagged=are_tagged,
    )
    with writing.dataset_writer(target) as writer:
        _write(writer, read, held)
    return Conversion(
        format=table.format,
        notes=(*columns.notes, numbered.note, *counted.notes),
        warnings=(*counted.warnings, *_cut_off(splits, reading, cutter.max_length)),
    )


def _opened(path: Path, *, are_tagged: bool) -> AbstractContextManager[OpenTable]:
    if are_tagged and recognise(path) == FileFormat.TEXT and not _is_json(path):
        return open_conll(path)
    return tables.opened(path)


def _is_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def _counted(splits: Mapping[Split, TextSplit]) -> CountedLabels:
    """Number labels; ``codes`` has the class of each label as it was met in a split."""
    found: dict[Split, tuple[NDArray[np.int64], Sequence[str]]] = {}
    for split, each in splits.items():
        names = check_class_names("the target", list(each.places))
        found[split] = (np.arange(len(names)), names)
    return labels.of_texts(found)


def _held_out(
    splits: Mapping[Split, TextSplit], counted: CountedLabels, reading: DatasetReading
) -> NDArray[np.int64] | None:
    """Return the training rows that will be validation; None if there is a validation split."""
    if "validation" in splits:
        return None
    train, form = splits["train"], TARGETS[reading.task]
    if not counted.codes:
        return form.halves(np.empty((len(train), 0)), ())[1]
    table = counted.codes["train"]
    if reading.task == "sequence_labelling":
        padded = train.tags.padded(
            train.tags.longest, size=len(train), table=table.astype(np.int32), filling=PADDED
        )
        targets = np.concatenate([*padded]).astype(np.int64)
    else:
        targets = table[np.frombuffer(train.labels, np.int32)]
    _, held = form.halves(targets, counted.class_names)
    return held


def _trained(train: TextSplit, held: NDArray[np.int64] | None) -> NDArray[np.int32]:
    """Return all words of the training rows that stay in training."""
    is_trained_N = np.ones(len(train), bool)
    if held is not None:
        is_trained_N[held] = False
    return np.concatenate([side.of(is_trained_N) for side in train.sides])


def _write(writer: DatasetWriter, read: _Read, held: NDArray[np.int64] | None) -> None:
    for split in SPLITS:
        if split in read.splits:
            examples = read.splits[split]
            _write_ids(writer, f"x_{split}", examples.sides, read)
            if read.has_targets:
                writer.add_labels(f"y_{split}", read.targets(split))
    if read.has_targets:
        _write_perturbed(writer, read, held)
    if read.counted.class_names:
        writer.add_texts(CLASS_NAMES, read.counted.class_names)
    writing_words.write(writer, read.words)


def _write_perturbed(writer: DatasetWriter, read: _Read, held: NDArray[np.int64] | None) -> None:
    """Write a perturbed copy of the rows that validate, with their targets."""
    source: Split = "train" if held is not None else "validation"
    rows = np.arange(len(read.splits[source])) if held is None else held
    perturbed = [side.rows(rows) for side in read.splits[source].perturbed]
    if len(rows):
        _write_ids(writer, f"x_{PERTURBED}", perturbed, read)
        writer.add_labels(f"y_{PERTURBED}", read.targets(source)[rows])


def _write_ids(writer: DatasetWriter, name: str, sides: Sequence[Ragged], read: _Read) -> None:
    rows, length, tables = len(sides[0]), read.longest, read.tables
    parts = max(len(sides), len(tables))
    shape = (rows, length) if parts == 1 else (rows, parts, length)
    writer.add(name, shape, "<i4", _pieces(sides, tables, length, parts))


def _pieces(
    sides: Sequence[Ragged], tables: _Tables, length: int, parts: int
) -> Iterator[NDArray[np.int32]]:
    """Yield rows ``(B, L)``, or ``(B, P, L)`` of both sides of a pair or all parts of words."""
    size = max(1, _PIECE_VALUES // (parts * length))
    chosen = [(sides[place % len(sides)], tables[place % len(tables)]) for place in range(parts)]
    rows = [side.padded(length, size=size, table=table) for side, table in chosen]
    for found in zip(*rows, strict=True):
        yield found[0] if parts == 1 else np.stack(found, axis=1)


def _cut_off(
    splits: Mapping[Split, TextSplit], reading: DatasetReading, most: int
) -> Iterator[str]:
    for split, found in splits.items():
        if found.num_cut:
            yield (
                f"{found.num_cut:,} of {len(found):,} {EXAMPLES[reading.task]} of {split} have "
                f"more than {most:,} words: the rest is cut off; say max_length"
            )
