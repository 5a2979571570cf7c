"""Make a dataset of an npz file as people have them. Torch-free."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from compress.tasks.conversion import (
    array_names,
    features,
    named_inputs,
    pixels,
    targets,
    writing,
)
from compress.tasks.conversion.array_names import NAMES, NamedArrays
from compress.tasks.conversion.features import Features
from compress.tasks.conversion.pixels import Pixels
from compress.tasks.conversion.targets import ReadTargets
from compress.tasks.formats import input_parts, npz
from compress.tasks.formats.forms import TARGETS
from compress.tasks.formats.targets import ClassTargets
from compress.tasks.inspection import ARRAYS, CLASS_NAMES
from compress.tasks.reading import Conversion, DatasetReading
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, Split
from compress.values.shown import some


def is_plain(path: Path, reading: DatasetReading, *, caution: npz.Caution | None = None) -> bool:
    """Whether the file is a dataset as it is, as far as names, types and labels tell.

    It is read with the limits of ``npz``; what is wrong in it is not said here. Raises InvalidData
    if it is no npz archive, or takes too long to read.
    """
    known = _known(reading)
    with npz.open_archive(path, names=known, wide=known, caution=caution) as archive:
        said = (reading.is_of_pictures, reading.is_of_table, reading.is_of_text)
        if reading.classes is not None or any(said):
            return False
        if not set(archive.arrays) <= ARRAYS:
            return False
        texts = (CLASS_NAMES, input_parts.ARRAY)
        headers = [each for name, each in archive.arrays.items() if name not in texts]
        return (
            all(_has_plain_type(each) for each in headers)
            and _has_plain_examples(headers, reading)
            and _has_plain_targets(archive, reading)
        )


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset of the npz file ``path`` to ``target``. Raises InvalidData."""
    if reading.is_of_pictures:
        raise InvalidData("size and channels are for pictures: an npz has those of its arrays")
    known = _known(reading)
    with npz.open_archive(path, names=known, wide=known, caution=caution) as archive:
        answers = TARGETS[reading.task]
        several = named_inputs.found(archive.arrays, are_answered=answers.are_needed)
        if several is not None:
            found = _targets(archive, several.first(), reading)
            return named_inputs.convert(archive, target, several, found)
        names = array_names.assigned(archive.arrays, are_answered=answers.are_needed)
        times = pixels.readings(archive, names.images)
        archive.expect(names.images.values(), times=times)
        images = _plan(archive, names.images, reading)
        found = _targets(archive, names, reading)
        with writing.dataset_writer(target) as writer:
            for split, name in names.images.items():
                shape = images.shape(archive.arrays[name].shape)
                rows = images.converted(archive.rows(name))
                writer.add(f"x_{split}", shape, np.dtype(images.dtype).str, rows)
                found.write(writer, split)
            found.write_names(writer)
    return _said(set(archive.arrays), images, found)


def _known(reading: DatasetReading) -> Container[str]:
    """The names that arrays may have; those of inputs where networks may have several."""
    return NAMES if reading.task == "image_classification" else named_inputs.NAMES


def _targets(archive: npz.Archive, names: NamedArrays, reading: DatasetReading) -> ReadTargets:
    if TARGETS[reading.task].are_needed:
        return targets.read(archive, names.labels, reading, class_names=names.class_names)
    unread = sorted(names.labels.values())
    said = f"{some(unread)}: not read, {reading.task} compares answers with the baseline's"
    return ReadTargets(warnings=(said,) if unread else ())


def _plan(
    archive: npz.Archive, arrays: Mapping[Split, str], reading: DatasetReading
) -> Pixels | Features:
    if reading.task == "image_classification":
        return pixels.plan(archive, arrays, layout=reading.layout)
    return features.plan(archive, arrays)


def ambiguous(path: Path, *, caution: npz.Caution | None = None) -> tuple[str, ...]:
    """Warn if the images of a plain dataset could also have the other order of axes."""
    with npz.open_archive(path, names=ARRAYS, wide=NAMES, caution=caution) as archive:
        names = array_names.assigned(archive.arrays)
        return pixels.plan(archive, names.images).warnings


def _has_plain_type(header: npz.ArrayHeader) -> bool:
    if header.name.startswith("x"):
        return header.dtype in (np.dtype("u1"), np.dtype("<f4"))
    return header.dtype.kind in "iuf" and len(header.shape) <= 2


def _has_plain_targets(archive: npz.Archive, reading: DatasetReading) -> bool:
    """Whether targets are kept as they are: what they hold is said by the inspection."""
    headers = [header for name, header in archive.arrays.items() if name.startswith("y")]
    form = TARGETS[reading.task]
    if not form.are_needed:
        return not headers
    if not isinstance(form, ClassTargets):
        kinds = {"multilabel": ("u1",), "regression": ("<f4",)}[reading.task]
        return all(h.dtype.str[-2:] in kinds or h.dtype.str in kinds for h in headers)
    if any(h.dtype.kind not in "iu" or len(h.shape) != 1 for h in headers):
        return False
    return CLASS_NAMES in archive.arrays or _count_from_0(archive)


def _has_plain_examples(headers: Sequence[npz.ArrayHeader], reading: DatasetReading) -> bool:
    """Whether examples are of one type, and images in the order in which they are kept."""
    examples = [each for each in headers if each.name.startswith("x")]
    if len({each.dtype for each in examples}) > 1:
        return False
    if reading.task != "image_classification":
        return True
    orders = (("NHWC",), ("NHWC", "NCHW"))
    return reading.layout != "NCHW" and all(
        pixels.possible(each.shape) in orders for each in examples
    )


def _count_from_0(archive: npz.Archive) -> bool:
    """Whether the labels of all splits together are 0, 1, 2 and so on."""
    found: set[int] = set()
    for name in archive.arrays:
        if name.startswith("y"):
            for chunk in archive.chunks(name):
                found.update(np.unique(chunk).tolist())
                if len(found) > MAX_CLASSES:
                    return False
    return found == set(range(len(found)))


def _said(names: set[str], images: Pixels | Features, found: ReadTargets) -> Conversion:
    others = sorted(names - ARRAYS)
    called = (
        [f"arrays are called {', '.join(others)}: read as {array_names.described(others)}"]
        if others
        else []
    )
    return Conversion(
        format="npz",
        notes=(*called, *images.notes, *found.notes),
        warnings=(*images.warnings, *found.warnings),
    )
