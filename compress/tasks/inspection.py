"""Say what an uploaded dataset holds, and whether it may be used. Torch-free.

Files come from strangers: everything is checked against limits before it is believed, and nothing
in a file is ever executed.

Legend: N images, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from compress.network.preprocessing import Normalisation
from compress.tasks.formats import fingerprints, npz
from compress.tasks.formats.holdout import hold_out
from compress.tasks.formats.statistics import ChannelStatistics
from compress.tasks.names import TaskName
from compress.tasks.reading import DatasetOrigin
from compress.values import raw_values
from compress.values.errors import InvalidData
from compress.values.file_formats import answers
from compress.values.measurement import MAX_CLASSES, Split
from compress.values.shown import some

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLASS_NAMES = "class_names"
ARRAYS = frozenset({CLASS_NAMES, *(f"{axis}_{split}" for axis in "xy" for split in SPLITS)})
TEXTS = frozenset({CLASS_NAMES})
"""Arrays that hold texts."""
LONGEST_NAME = 100
MAX_IMAGES = 10_000_000
MAX_CHANNELS = 16
SIDES = (4, 1024)
Labels: TypeAlias = dict[Split, NDArray[np.int64]]
_IMBALANCE = 10
_FEW_IMAGES = 100
_ROW_VALUES = 1024


class DatasetInfo(BaseModel, frozen=True, extra="forbid"):
    """An image classification dataset, with its splits as they will be used.

    ``input_shape`` is ``(C, H, W)``; ``value_range`` is the least and the largest raw value;
    ``class_counts`` has one entry per class; ``held_out`` says that the validation split is a
    fifth of what the file calls train. ``class_names`` is empty if the file has none. ``origin``
    is the file that was sent, if another one was made of it; ``notes`` say how. ``normalisation``
    is a proposal for networks that are trained on it: mean 0 and deviation 1 of every channel, of a
    sample of the training images. None: of a dataset of before, or there is none.
    """

    task: TaskName = "image_classification"
    num_classes: int
    input_shape: tuple[int, int, int]
    dtype: Literal["uint8", "float32"]
    value_range: tuple[float, float]
    splits: dict[Split, int]
    class_counts: dict[Split, tuple[int, ...]]
    held_out: bool
    warnings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: DatasetOrigin | None = None
    normalisation: Normalisation | None = None


def inspect_dataset(
    path: Path,
    *,
    max_bytes: int = npz.MAX_BYTES,
    find_copies: bool = True,
    caution: npz.Caution | None = None,
) -> DatasetInfo:
    """Read every byte of an npz dataset once and say what it holds.

    Arrays: ``x_<split>`` of shape (N, H, W) or (N, H, W, C), uint8 or finite float32, and
    ``y_<split>`` of shape (N,) with integers from 0. ``train`` is required, ``validation`` and
    ``test`` are optional. ``compress.values.raw_values`` limits the values; training images that
    are constant in every channel are refused. ``class_names``, texts of shape (K,), is optional; if
    it is there, there are K classes, else as many as the largest label in train says. Images that
    several splits share are warned about unless ``find_copies`` is false. ``caution`` is for a file
    that comes from a stranger.
    Raises InvalidData saying what is wrong, where, and what was expected.
    """
    wrong = answers.wrong_kind(path, "dataset")
    if wrong is not None:
        raise InvalidData(wrong)
    with open_dataset(path, max_bytes=max_bytes, caution=caution) as archive:
        present = _present_splits(archive.arrays)
        (channels, height, width), dtype = _shared_form(archive, present)
        archive.expect([f"x_{split}" for split in present], times=2 if find_copies else 1)
        archive.expect(f"y_{split}" for split in present)
        labels: Labels = {split: _labels(archive, split) for split in present}
        seen = _statistics(archive.arrays["x_train"])
        channel_ranges = {split: _channel_ranges(archive, split, seen) for split in present}
        names = _class_names(archive)
        num_classes = _num_classes(labels, names)
        copied = _copies(archive, labels, num_classes) if find_copies else ()
    constant = _constant_channels(channel_ranges["train"])
    ranges = [found for split in present for found in channel_ranges[split]]
    counts = _class_counts(labels, num_classes)
    return DatasetInfo(
        num_classes=num_classes,
        input_shape=(channels, height, width),
        dtype="uint8" if dtype == np.uint8 else "float32",
        value_range=(min(low for low, _ in ranges), max(high for _, high in ranges)),
        splits={split: sum(count) for split, count in counts.items()},
        class_counts=counts,
        held_out="validation" not in present,
        warnings=(*_warnings(counts, names), *constant, *copied),
        class_names=names,
        normalisation=seen.normalisation(channel_ranges["train"], dtype),
    )


def open_dataset(
    path: Path, *, max_bytes: int = npz.MAX_BYTES, caution: npz.Caution | None = None
) -> AbstractContextManager[npz.Archive]:
    """Open an npz file that may have a dataset's arrays. Raises InvalidData."""
    return npz.open_archive(path, names=ARRAYS, max_bytes=max_bytes, caution=caution, wide=TEXTS)


def check_class_names(where: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names. Raises InvalidData unless they are distinct, printable and not too long."""
    for name in names:
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidData(
                f"{where}: {name[:LONGEST_NAME]!r} is no name of a class: expected 1 to "
                f"{LONGEST_NAME} printable characters"
            )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidData(f"{where} has {twice!r} twice: classes need names of their own")
    return tuple(names)


def _present_splits(arrays: Mapping[str, npz.ArrayHeader]) -> list[Split]:
    for split in SPLITS:
        pair = {f"x_{split}", f"y_{split}"}
        missing = sorted(pair - set(arrays))
        if missing and (split == "train" or len(missing) == 1):
            raise InvalidData(f"array {missing[0]!r} is missing, the file has {sorted(arrays)}")
    return [split for split in SPLITS if f"x_{split}" in arrays]


@dataclass(frozen=True)
class _Bound:
    what: str
    low: int
    high: int


def _shared_form(
    archive: npz.Archive, present: Sequence[Split]
) -> tuple[tuple[int, int, int], np.dtype[np.generic]]:
    """Return the shape and the type of the images of all splits. Raises InvalidData."""
    shapes = {_image_shape(archive.arrays[f"x_{split}"]) for split in present}
    dtypes = {archive.arrays[f"x_{split}"].dtype for split in present}
    if len(shapes) > 1 or len(dtypes) > 1:
        raise InvalidData(f"all splits must share one image shape and dtype, got {shapes}")
    return shapes.pop(), dtypes.pop()


def _image_shape(header: npz.ArrayHeader) -> tuple[int, int, int]:
    if header.dtype not in (np.dtype("u1"), np.dtype("<f4")):
        raise InvalidData(f"{header.name} must be uint8 or float32, got {header.dtype}")
    if len(header.shape) not in (3, 4):
        raise InvalidData(
            f"{header.name} must have shape (N, H, W) or (N, H, W, C), got {header.shape}"
        )
    images, height, width, channels = (*header.shape, 1)[:4]
    bounds = (
        (images, _Bound("images", 2 if header.name == "x_train" else 1, MAX_IMAGES)),
        (height, _Bound("rows (H)", *SIDES)),
        (width, _Bound("columns (W)", *SIDES)),
        (channels, _Bound("channels (C, the last dimension)", 1, MAX_CHANNELS)),
    )
    for value, bound in bounds:
        if not bound.low <= value <= bound.high:
            raise InvalidData(
                f"{header.name} must have {bound.low} to {bound.high} {bound.what}, got {value}"
                f" in its shape {header.shape}, which is read as (N, H, W, C)"
            )
    return channels, height, width


def _labels(archive: npz.Archive, split: Split) -> NDArray[np.int64]:
    header, images = archive.arrays[f"y_{split}"], archive.arrays[f"x_{split}"].shape[0]
    if header.dtype.kind not in "iu":
        raise InvalidData(f"{header.name} must hold integers, got {header.dtype}")
    if header.shape != (images,):
        raise InvalidData(f"{header.name} must have shape ({images},), got {header.shape}")
    labels_N = archive.read(header.name)
    low, high = int(labels_N.min()), int(labels_N.max())
    if low < 0 or high >= MAX_CLASSES:
        raise InvalidData(
            f"{header.name} must hold classes from 0 to {MAX_CLASSES - 1}, got {low} to {high}"
        )
    return labels_N.astype(np.int64)


Ranges: TypeAlias = list[tuple[float, float]]
"""The least and the largest value of every channel."""


def _channels(header: npz.ArrayHeader) -> int:
    return header.shape[3] if len(header.shape) == 4 else 1


def _statistics(header: npz.ArrayHeader) -> ChannelStatistics:
    pieces = -(-header.num_bytes // npz.CHUNK_BYTES)
    return ChannelStatistics(channels=_channels(header), pieces=pieces)


def _channel_ranges(archive: npz.Archive, split: Split, seen: ChannelStatistics) -> Ranges:
    """Return the range of every channel; ``seen`` is shown the training images.

    Raises InvalidData for values that are not allowed.
    """
    name = f"x_{split}"
    channels = _channels(archive.arrays[name])
    low_C, high_C = np.full(channels, np.inf), np.full(channels, -np.inf)
    rest, begin = np.empty(0, archive.arrays[name].dtype), 0
    for chunk in archive.chunks(name):
        if not np.isfinite([chunk.min(), chunk.max()]).all():
            raise InvalidData(f"{name} holds a NaN or an infinity near its value {begin}")
        begin += len(chunk)
        flat = np.concatenate([rest, chunk])
        whole = len(flat) // channels * channels
        low_C = np.minimum(low_C, _per_channel(np.minimum, flat[:whole], channels))
        high_C = np.maximum(high_C, _per_channel(np.maximum, flat[:whole], channels))
        rest = flat[whole:]
        if split == "train":
            seen.add(flat[:whole])
    ranges = [(float(low), float(high)) for low, high in zip(low_C, high_C, strict=True)]
    for channel, (low, high) in enumerate(ranges):
        problem = raw_values.problem(low, high)
        if problem is not None:
            raise InvalidData(f"channel {channel} of {name} {problem}")
    return ranges


def _per_channel(least: np.ufunc, flat: NDArray[np.generic], channels: int) -> NDArray[np.generic]:
    """Reduce pixels with the given ufunc; long rows first, which numpy compares faster."""
    row = channels * max(1, _ROW_VALUES // channels)
    rows = len(flat) // row * row
    found = [flat[rows:].reshape(-1, channels)]
    if rows:
        found.append(least.reduce(flat[:rows].reshape(-1, row)).reshape(-1, channels))
    return least.reduce(np.concatenate(found))


def _constant_channels(ranges: Ranges) -> list[str]:
    """Warn about every channel that is constant in training.

    Raises InvalidData if all of them are, because there is nothing to learn.
    """
    found = [
        f"channel {channel} of x_train is {_as_constant(low, high)}"
        for channel, (low, high) in enumerate(ranges)
        if raw_values.is_constant(low, high)
    ]
    if len(found) == len(ranges):
        raise InvalidData(
            f"{'; '.join(found)}: all images look the same, so there is nothing to learn. Upload "
            "images whose values differ; subtract a large offset before they become float32"
        )
    return [f"{each}: it says nothing to a network" for each in found]


def _as_constant(low: float, high: float) -> str:
    if low == high:
        return f"{low:g} everywhere"
    return (
        f"constant as far as float32 tells: its values, {low:.9g} to {high:.9g}, differ by less "
        f"than {raw_values.RESOLVED * raw_values.magnitude(low, high):.3g}"
    )


def _class_names(archive: npz.Archive) -> tuple[str, ...]:
    header = archive.arrays.get(CLASS_NAMES)
    if header is None:
        return ()
    if header.dtype.kind != "U" or len(header.shape) != 1 or header.shape[0] > MAX_CLASSES:
        raise InvalidData(
            f"{CLASS_NAMES} must be at most {MAX_CLASSES} texts, got shape {header.shape} of "
            f"{header.dtype}"
        )
    try:
        return check_class_names(CLASS_NAMES, archive.read(CLASS_NAMES).tolist())
    except (ValueError, SystemError) as error:
        raise InvalidData(f"{CLASS_NAMES} must be Unicode: {error}") from error


def _num_classes(labels: Labels, names: Sequence[str]) -> int:
    if names:
        high = max(int(labels_N.max()) for labels_N in labels.values())
        if high >= len(names) or len(names) < 2:
            raise InvalidData(
                f"{CLASS_NAMES} names {len(names)} classes, expected at least {max(high + 1, 2)}"
            )
        return len(names)
    num_classes = int(labels["train"].max()) + 1
    if num_classes < 2:
        raise InvalidData("y_train must hold at least 2 classes (0 and 1), got only 0")
    for split, labels_N in labels.items():
        if labels_N.max() >= num_classes:
            raise InvalidData(
                f"y_{split} holds class {labels_N.max()}, y_train only 0 to {num_classes - 1}"
            )
    return num_classes


def _class_counts(labels: Labels, num_classes: int) -> dict[Split, tuple[int, ...]]:
    used = dict(labels)
    if "validation" not in used:
        train, validation = hold_out(used["train"], num_classes)
        if len(validation) == 0 or len(train) < 2:
            raise InvalidData(
                f"x_train has {len(used['train'])} images, too few to hold out a validation split: "
                "give x_validation and y_validation"
            )
        used["train"], used["validation"] = labels["train"][train], labels["train"][validation]
    return {
        split: tuple(np.bincount(used[split], minlength=num_classes).tolist())
        for split in SPLITS
        if split in used
    }


def one_class(split: Split, count: Sequence[int], names: Sequence[str] = ()) -> str:
    """Return the warning about a split that holds images of only one class."""
    label = max(range(len(count)), key=lambda each: count[each])
    return (
        f"{split} holds only class {called(label, names)}: always answering {label} is right on "
        "all of its images, so accuracy there says nothing; give it images of every class"
    )


def called(label: int, names: Sequence[str]) -> str:
    """Return a class's number, and its name if that is another."""
    named = names[label : label + 1]
    return f"{label} ({named[0]})" if named and named[0] != str(label) else str(label)


def _copies(archive: npz.Archive, labels: Labels, num_classes: int) -> tuple[str, ...]:
    """Warn about images that occur more than once."""
    digests: dict[Split, NDArray[np.uint64]] = {
        split: fingerprints.of_images(archive, f"x_{split}") for split in labels
    }
    if "validation" not in digests:
        train, validation = hold_out(labels["train"], num_classes)
        digests["validation"] = digests["train"][validation]
        digests["train"] = digests["train"][train]
    return tuple(fingerprints.warnings(digests))


def _warnings(counts: Mapping[Split, tuple[int, ...]], names: Sequence[str]) -> list[str]:
    found = []
    for split, count in counts.items():
        absent = [called(label, names) for label, number in enumerate(count) if number == 0]
        if len(absent) == len(count) - 1:
            found.append(one_class(split, count, names))
        elif absent:
            found.append(f"{split} has no image of class {some(absent)}")
    least = max(1, min(counts["train"]))
    if max(counts["train"]) > _IMBALANCE * least:
        found.append(f"train is unbalanced: {least} to {max(counts['train'])} images per class")
    images = sum(counts["validation"])
    if images < _FEW_IMAGES:
        found.append(f"validation has {images} images: one image is {100 / images:.1f} points")
    return found
