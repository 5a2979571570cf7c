"""Make a dataset of ids that another tokenizer made: whole numbers of any width. Torch-free.

Legend: N examples, P sides of a pair or ids of a word, L ids of the longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import labels, writing
from compress.tasks.conversion.labels import CountedLabels
from compress.tasks.conversion.text import id_names, writing_words
from compress.tasks.conversion.text.id_names import NAMES, NamedIds
from compress.tasks.conversion.writing import DatasetWriter
from compress.tasks.formats import npz, tokenising, word_arrays
from compress.tasks.formats.id_form import MAX_ID, PERTURBED
from compress.tasks.formats.tag_targets import PADDED
from compress.tasks.inspection import ARRAYS, CLASS_NAMES, check_class_names
from compress.tasks.names import TaskName
from compress.tasks.reading import Conversion, DatasetReading
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

_Targets = Mapping[str, NDArray[np.int64]]


def is_plain(path: Path, reading: DatasetReading, *, caution: npz.Caution | None = None) -> bool:
    """Whether the file is a dataset of ids as it is, as far as names and types tell.

    Raises InvalidData if it is no npz archive, or takes too long to read.
    """
    with npz.open_archive(path, names=NAMES, wide=NAMES, caution=caution) as archive:
        if not set(archive.arrays) <= ARRAYS or reading.classes is not None:
            return False
        ids = [each for name, each in archive.arrays.items() if name.startswith("x_")]
        targets = [each for name, each in archive.arrays.items() if name.startswith("y_")]
        return (
            all(each.dtype == np.dtype("<i4") for each in ids)
            and len({each.shape[1:] for each in ids}) == 1
            and all(each.dtype == np.dtype("<i8") for each in targets)
            and (CLASS_NAMES in archive.arrays or _count_from_0(archive))
        )


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset of the npz file of ids ``path`` to ``target``. Raises InvalidData."""
    if reading.is_of_text or reading.is_of_table:
        raise InvalidData(
            "target, features, max_length, max_words, lower_case and word_parts are for texts in "
            "csv, jsonl or parquet: an npz has ids already"
        )
    with npz.open_archive(path, names=NAMES, wide=NAMES, caution=caution) as archive:
        names = id_names.assigned(archive.arrays)
        longest = max(_longest(archive, sides, reading.task) for sides in names.sides.values())
        counted, targets = _targets(archive, names, reading, longest)
        with writing.dataset_writer(target) as writer:
            for split in names.sides:
                _write(writer, archive, split, names.sides[split], longest)
                writer.add_labels(f"y_{split}", targets[split])
            if counted.class_names:
                writer.add_texts(CLASS_NAMES, counted.class_names)
            _write_words(writer, archive)
    return Conversion(
        format="npz",
        notes=(*_renamed(archive, names), *counted.notes),
        warnings=counted.warnings,
    )


def _count_from_0(archive: npz.Archive) -> bool:
    """Whether the classes or tags of all splits together are 0, 1, 2 and so on."""
    found: set[int] = set()
    for name in archive.arrays:
        if name.startswith("y_"):
            for chunk in archive.chunks(name):
                found.update(np.unique(chunk).tolist())
                if len(found) > MAX_CLASSES + 1:
                    return False
    found.discard(PADDED)
    return found == set(range(len(found)))


def _longest(archive: npz.Archive, sides: Sequence[str], task: TaskName) -> int:
    """Return the last column of any row that is no padding. Raises InvalidData for no ids."""
    shapes = {archive.arrays[name].shape for name in sides}
    rows = {shape[:1] for shape in shapes}
    if len(rows) > 1 or (len(sides) > 1 and any(len(shape) != 2 for shape in shapes)):
        raise InvalidData(
            f"{some(list(sides))} must have shape (N, L), as many rows each, got {sorted(shapes)}"
        )
    if len(sides) > 1 and task != "text_matching":
        raise InvalidData(f"{some(list(sides))} are pairs: say task: text_matching, got {task}")
    return max(_last_column(archive, name) for name in sides)


def _last_column(archive: npz.Archive, name: str) -> int:
    header, last, begin = archive.arrays[name], 0, 0
    if header.dtype.kind not in "iu" or len(header.shape) not in (2, 3):
        raise InvalidData(
            f"{name} must hold ids, integers of shape (N, L), got {header.dtype} of shape "
            f"{header.shape}: send texts as csv, jsonl or parquet"
        )
    for some_B in archive.rows(name):
        ids_B: NDArray[Any] = some_B
        wrong = np.argwhere((ids_B < 0) | (ids_B > MAX_ID))
        if len(wrong):
            row, *place = wrong[0].tolist()
            where = f"column {place[-1]}" if len(place) == 1 else f"place {tuple(place)}"
            raise InvalidData(
                f"{name} must hold ids from 0 to {MAX_ID:,}, got {ids_B[(row, *place)]} in row "
                f"{begin + row}, {where}"
            )
        used_L = (ids_B != tokenising.PADDING).reshape(-1, ids_B.shape[-1]).any(axis=0)
        last = max(last, int(used_L.nonzero()[0].max(initial=-1)) + 1)
        begin += len(ids_B)
    return max(1, last)


def _write(
    writer: DatasetWriter, archive: npz.Archive, split: str, sides: Sequence[str], longest: int
) -> None:
    shape = archive.arrays[sides[0]].shape
    inner = (len(sides),) if len(sides) > 1 else shape[1:-1]
    pieces = (
        (_of_length(ids_B, longest) for ids_B in archive.rows(sides[0]))
        if len(sides) == 1
        else _stacked(archive, sides, longest)
    )
    writer.add(f"x_{split}", (shape[0], *inner, longest), "<i4", pieces)


def _stacked(
    archive: npz.Archive, sides: Sequence[str], longest: int
) -> Iterator[NDArray[np.int32]]:
    """Yield pairs ``(N, 2, L)``, all of a split at once: their pieces differ in length."""
    yield np.stack([_of_length(archive.read(name), longest) for name in sides], axis=1)


def _of_length(ids_B: NDArray[Any], longest: int) -> NDArray[np.int32]:
    """Return ids of this length: what is left out is padding."""
    found = np.zeros((*ids_B.shape[:-1], longest), np.int32)
    width = min(longest, ids_B.shape[-1])
    found[..., :width] = ids_B[..., :width]
    return found


def _targets(
    archive: npz.Archive, names: NamedIds, reading: DatasetReading, longest: int
) -> tuple[CountedLabels, _Targets]:
    if reading.task == "sequence_labelling":
        tags = {
            split: _tags(archive, name, names.sides[split][0], longest)
            for split, name in names.targets.items()
        }
        named = _tag_names(archive, names.class_names, reading)
        return CountedLabels(codes={}, class_names=named), tags
    # The perturbed copy has the labels of validation: it is read as if it were a test split.
    arrays: dict[Split, str] = {s: names.targets[s] for s in SPLITS if s in names.targets}
    found = labels.read(archive, arrays, class_names=names.class_names, classes=reading.classes)
    targets: dict[str, NDArray[np.int64]] = dict(found.codes.items())
    if PERTURBED in names.targets:
        again: dict[Split, str] = {"train": names.targets["train"]}
        again["test"] = names.targets[PERTURBED]
        class_names = names.class_names
        read = labels.read(archive, again, class_names=class_names, classes=reading.classes)
        targets[PERTURBED] = read.codes["test"]
    return found, targets


def _tags(archive: npz.Archive, name: str, ids: str, longest: int) -> NDArray[np.int64]:
    """Return tags ``(N, L)``, -100 where there is no word, whatever padding was written there."""
    given, words = archive.arrays[name], archive.arrays[ids]
    shape = (words.shape[0], words.shape[-1])
    if given.dtype.kind not in "iu" or given.shape != shape:
        raise InvalidData(
            f"{name} must hold a tag for each id of {ids}, integers of shape {shape}, got "
            f"{given.dtype} of shape {given.shape}"
        )
    tags_NL = archive.read(name).astype(np.int64)
    ids_N = archive.read(ids)
    is_word_NL = ids_N != 0 if ids_N.ndim == 2 else (ids_N != 0).any(axis=1)
    wrong = np.argwhere(is_word_NL & ((tags_NL < 0) | (tags_NL >= MAX_CLASSES)))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InvalidData(
            f"{name} must hold tags from 0 to {MAX_CLASSES - 1} where there is a word, got "
            f"{tags_NL[row, column]} in row {row}, column {column}"
        )
    return np.where(is_word_NL, tags_NL, PADDED)[:, :longest]


def _tag_names(archive: npz.Archive, name: str | None, reading: DatasetReading) -> tuple[str, ...]:
    if name is None:
        return () if reading.classes is None else tuple(map(str, range(reading.classes)))
    header = archive.arrays[name]
    if header.dtype.kind != "U" or len(header.shape) != 1:
        raise InvalidData(f"{name} must be texts, got {header.dtype} of shape {header.shape}")
    return check_class_names(name, archive.read(name).tolist())


def _write_words(writer: DatasetWriter, archive: npz.Archive) -> None:
    """Keep the words that were sent, if any; whatever 0 and 1 were called, they are theirs now."""
    found = word_arrays.read(archive, is_foreign=True)
    if found is not None:
        writing_words.write(writer, found)


def _renamed(archive: npz.Archive, names: NamedIds) -> Iterator[str]:
    others = sorted(set(archive.arrays) - ARRAYS)
    if others:
        said = [f"{each.axis}_{each.split}" for name in others if (each := id_names.role(name))]
        yield f"arrays are called {', '.join(others)}: read as {', '.join(said) or CLASS_NAMES}"
