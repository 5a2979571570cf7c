"""What examples are answered with, as people have it, by task. Torch-free.

Legend: N examples, K labels, T numbers to predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.tasks.conversion import labels
from compress.tasks.conversion.writing import DatasetWriter
from compress.tasks.formats import npz
from compress.tasks.formats.targets import MAX_NUMBERS
from compress.tasks.inspection import CLASS_NAMES
from compress.tasks.names import TaskName
from compress.tasks.reading import DatasetReading
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, Split

Arrays: TypeAlias = Mapping[Split, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class ReadTargets:
    """The targets of every split as datasets keep them, names of classes, and what was said."""

    arrays: Arrays = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def write(self, writer: DatasetWriter, split: Split) -> None:
        """Write those of a split, if it has any."""
        found = self.arrays.get(split)
        if found is not None:
            dtype = found.dtype.newbyteorder("<").str
            writer.add(f"y_{split}", found.shape, dtype, [found])

    def write_names(self, writer: DatasetWriter) -> None:
        """Write the names of classes, if there are any."""
        if self.class_names:
            writer.add_texts(CLASS_NAMES, self.class_names)


def read(
    archive: npz.Archive,
    arrays: Mapping[Split, str],
    reading: DatasetReading,
    *,
    class_names: str | None,
) -> ReadTargets:
    """Read the targets of all splits; ``class_names`` is the array that names classes, if any.

    Raises InvalidData that says what a target cannot be, and where it is.
    """
    if reading.task in _READ:
        if reading.classes is not None:
            raise InvalidData(f"classes is for tasks of classes, not {reading.task}: leave it out")
        checked = _READ[reading.task]
        kept: dict[Split, NDArray[Any]] = {
            split: checked(archive.read(name), name) for split, name in arrays.items()
        }
        names = () if class_names is None else labels.names(archive, class_names)
        return ReadTargets(arrays=kept, class_names=names)
    return of_labels(labels.read(archive, arrays, class_names=class_names, classes=reading.classes))


def of_labels(found: labels.CountedLabels) -> ReadTargets:
    """Return labels that were counted."""
    return ReadTargets(
        arrays=found.codes,
        class_names=found.class_names,
        notes=found.notes,
        warnings=found.warnings,
    )


def labels_of(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return labels ``(N, K)`` that hold or not. Raises InvalidData for anything but 0 and 1."""
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InvalidData(
            f"{name} must hold 0 or 1 for each label, of shape (N, K), got {values.dtype} of shape "
            f"{values.shape}: a label that is one class of several is for task: classification"
        )
    if not 1 <= values.shape[1] <= MAX_CLASSES:
        raise InvalidData(f"{name} must have 1 to {MAX_CLASSES} labels, got {values.shape[1]}")
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InvalidData(
            f"{name} must hold 0 or 1, got {values[row, column]} in row {row}, column {column}: of "
            "probabilities, save p > 0.5"
        )
    return values.astype(np.uint8)


def numbers_of(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return numbers ``(N, T)``. Raises InvalidData for what is none, with its place."""
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        raise InvalidData(
            f"{name} must hold numbers to predict, of shape (N,) or (N, T), got {values.dtype} of "
            f"shape {values.shape}"
        )
    found_NT = values.reshape(len(values), -1).astype(np.float64)
    if not 1 <= found_NT.shape[1] <= MAX_NUMBERS:
        raise InvalidData(f"{name} must have 1 to {MAX_NUMBERS} numbers, got {found_NT.shape[1]}")
    with np.errstate(over="ignore"):
        kept_NT = found_NT.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(kept_NT))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InvalidData(
            f"{name} holds {found_NT[row, column]} in row {row}, column {column}: leave the row "
            "out, or give it a finite number"
        )
    return kept_NT


_READ: Mapping[TaskName, Callable[[NDArray[Any], str], NDArray[Any]]] = {
    "multilabel": labels_of,
    "regression": numbers_of,
}
"""Of tasks whose targets are no classes."""
