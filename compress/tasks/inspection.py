"""Say what an uploaded dataset holds, and whether it may be used. Torch-free.

Files come from strangers: everything is checked against limits before it is believed, and nothing
in a file is ever executed.

Legend: N examples, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from compress.network.preprocessing import Normalisation
from compress.network.signature import Examples, ExampleShape
from compress.tasks.formats import fingerprints, input_parts, npz, tokenising, word_arrays
from compress.tasks.formats.example_forms import ExampleForm, Ranges
from compress.tasks.formats.forms import FORMS, TARGETS
from compress.tasks.formats.id_form import PERTURBED
from compress.tasks.formats.input_parts import InputPart
from compress.tasks.formats.statistics import ChannelStatistics
from compress.tasks.formats.targets import TargetForm, Targets
from compress.tasks.formats.words import TextInfo
from compress.tasks.names import ANSWERS, FIRST_TASK, TaskName
from compress.tasks.reading import DatasetOrigin
from compress.values import raw_values
from compress.values.errors import InvalidData
from compress.values.file_formats import answers
from compress.values.measurement import MAX_CLASSES, SPLITS, Split
from compress.values.shown import some

CLASS_NAMES = "class_names"
_SPLITS = (*SPLITS, PERTURBED)
ARRAYS = frozenset({CLASS_NAMES, *(f"{axis}_{split}" for axis in "xy" for split in _SPLITS)})
ARRAYS |= {*word_arrays.NAMES, input_parts.ARRAY}
TEXTS = frozenset({CLASS_NAMES, input_parts.ARRAY, *tokenising.PARTS})
"""Arrays that hold texts."""
LONGEST_NAME = 100
Halves: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
_ROW_VALUES = 1024
_KEPT: Mapping[str, Literal["uint8", "float32", "int32"]] = {
    "|u1": "uint8",
    "<f4": "float32",
    "<i4": "int32",
}


class DatasetInfo(BaseModel, frozen=True, extra="forbid"):
    """A dataset, with its splits as they will be used.

    ``input_shape`` is that of one example, of images ``(C, H, W)``; ``value_range`` is the least
    and the largest raw value; ``num_classes`` is the width of a network's answer: classes, labels,
    numbers to predict, 0 if nothing is known of it; ``class_counts`` has one entry per class, and
    is empty without classes; ``held_out`` says that the
    validation split is a fifth of what the file calls train. ``class_names`` is empty if the file
    has none. ``origin`` is the file that was sent, if another one was made of it; ``notes`` say
    how. ``normalisation`` is a proposal for networks that are trained on images: mean 0 and
    deviation 1 of every channel, of a sample of the training images. None: of a dataset of before,
    of no images, or there is none.
    """

    task: TaskName = FIRST_TASK
    num_classes: int
    input_shape: ExampleShape
    dtype: Literal["uint8", "float32", "int32"]
    value_range: tuple[float, float]
    splits: dict[Split, int]
    class_counts: dict[Split, tuple[int, ...]]
    held_out: bool
    warnings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: DatasetOrigin | None = None
    normalisation: Normalisation | None = None
    inputs: tuple[InputPart, ...] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="The inputs that the parts of an example are for, in their order, if there are "
        "several arrays of a split; empty: an example is one array.",
    )
    is_whole: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        description="Whether all values are known to be whole numbers; not asked of images.",
    )
    text: TextInfo | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Vocabulary, lengths and unknown words of texts; none of other examples.",
    )

    @property
    def vocabulary(self) -> tuple[int, ...]:
        """How many rows each table of an embedding needs; empty if examples are no texts."""
        return () if self.text is None else self.text.vocabulary

    @property
    def answer(self) -> str:
        """What a network has to tell of an example, in words: "10 classes"."""
        if self.num_classes == 0:
            return "no labels"
        words = ANSWERS.get(self.task, "classes")
        one = {"numbers to predict": "number to predict"}.get(words, words.removesuffix("s"))
        return f"{self.num_classes} {one if self.num_classes == 1 else words}"

    @property
    def examples(self) -> Examples:
        """What a network that is made for the data has to know: whole numbers from 0 on are ids."""
        low, high = self.value_range
        ids = (int(high) + 1,) if self.is_whole and low >= 0 else None
        return Examples(task=self.task, input_shape=self.input_shape, words=self.vocabulary or ids)


def inspect_dataset(
    path: Path,
    *,
    task: TaskName = FIRST_TASK,
    max_bytes: int = npz.MAX_BYTES,
    find_copies: bool = True,
    caution: npz.Caution | None = None,
) -> DatasetInfo:
    """Read every byte of an npz dataset once and say what it holds.

    Arrays: ``x_<split>``, uint8 or finite float32, images of shape (N, H, W) or (N, H, W, C), the
    examples of other tasks of shape (N, ...), and ``y_<split>`` of shape (N,) with integers from 0.
    ``train`` is required, ``validation`` and
    ``test`` are optional. ``compress.values.raw_values`` limits the values; training data that is
    constant in every channel is refused. ``class_names``, texts of shape (K,), is optional; if
    it is there, there are K classes, else as many as the largest label in train says. Examples that
    several splits share are warned about unless ``find_copies`` is false. ``caution`` is for a file
    that comes from a stranger.
    Raises InvalidData saying what is wrong, where, and what was expected.
    """
    wrong = answers.wrong_kind(path, "dataset")
    if wrong is not None:
        raise InvalidData(wrong)
    with open_dataset(path, max_bytes=max_bytes, caution=caution) as archive:
        return _described(archive, FORMS[task], find_copies=find_copies)


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


def _described(archive: npz.Archive, form: ExampleForm, *, find_copies: bool) -> DatasetInfo:
    form = form.suited(archive.arrays.get("x_train"))
    present = _present_splits(archive.arrays, TARGETS[form.task])
    shapes = {form.shape(archive.arrays[f"x_{split}"]) for split in present}
    dtypes = {archive.arrays[f"x_{split}"].dtype for split in present}
    if len(shapes) > 1 or len(dtypes) > 1:
        raise InvalidData(
            f"all splits must share one {form.examples.removesuffix('s')} shape and dtype, got "
            f"{shapes} and {some(sorted(map(str, dtypes)))}"
        )
    times = 1 + find_copies + form.may_count
    archive.expect([f"x_{split}" for split in present], times=times)
    archive.expect(f"y_{split}" for split in present if f"y_{split}" in archive.arrays)
    names, answers = _class_names(archive), TARGETS[form.task]
    targets: Targets = {split: answers.read(archive, split) for split in present}
    halves = None if "validation" in present else answers.halves(targets["train"], names)
    used = answers.used(targets, names)
    known = answers.summary(targets, used, names)
    seen = _statistics(archive.arrays["x_train"], form)
    channel_ranges = {split: _channel_ranges(archive, split, form, seen) for split in present}
    is_whole = form.may_count and all(_is_whole(archive, f"x_{split}") for split in present)
    _check_perturbed(archive, used)
    text, said = form.looked_at(archive, present, halves)
    copied = _copies(archive, present, halves, form.examples) if find_copies else ()
    constant, dtype = form.constant(channel_ranges["train"]), dtypes.pop()
    ranges = [found for split in present for found in channel_ranges[split]]
    return DatasetInfo(
        task=form.task,
        num_classes=known.num_classes,
        input_shape=(shape := shapes.pop()),
        inputs=input_parts.described(archive, input_parts.read(archive, shape), present),
        dtype=_KEPT[dtype.str],
        value_range=(min(low for low, _ in ranges), max(high for _, high in ranges)),
        splits={split: len(found) for split, found in used.items()},
        class_counts=dict(known.class_counts),
        held_out="validation" not in present,
        warnings=(*known.warnings, *_unread(archive, answers), *constant, *said, *copied),
        class_names=names,
        is_whole=is_whole,
        text=text,
        normalisation=form.proposed(seen, channel_ranges["train"], dtype),
    )


def _present_splits(arrays: Mapping[str, npz.ArrayHeader], answers: TargetForm) -> list[Split]:
    for split in SPLITS:
        pair = {f"x_{split}", f"y_{split}"} if answers.are_needed else {f"x_{split}"}
        missing = sorted(pair - set(arrays))
        if missing and (split == "train" or len(missing) < len(pair)):
            raise InvalidData(f"array {missing[0]!r} is missing, the file has {sorted(arrays)}")
    return [split for split in SPLITS if f"x_{split}" in arrays]


def _check_perturbed(archive: npz.Archive, used: Targets) -> None:
    """Raise InvalidData unless a perturbed copy of validation has its rows, and their targets."""
    pair = [archive.arrays.get(f"{axis}_{PERTURBED}") for axis in "xy"]
    if pair == [None, None]:
        return
    rows, x = len(used["validation"]), archive.arrays["x_train"]
    shapes = [None if each is None else each.shape for each in pair]
    if shapes[0] != (rows, *x.shape[1:]) or shapes[1] != used["validation"].shape:
        raise InvalidData(
            f"x_{PERTURBED} and y_{PERTURBED} must be a copy of validation, row by row, with "
            f"{rows} rows, got shapes {shapes[0]} and {shapes[1]}"
        )
    if not np.array_equal(archive.read(f"y_{PERTURBED}"), used["validation"]):
        raise InvalidData(f"y_{PERTURBED} must be the targets of validation, row by row")


def _unread(archive: npz.Archive, answers: TargetForm) -> list[str]:
    """Warn about targets that the task has no use for."""
    unread = [] if answers.are_needed else sorted(n for n in archive.arrays if n.startswith("y_"))
    if not unread:
        return []
    return [
        f"{some(unread)} {'is' if len(unread) == 1 else 'are'} not read: {answers.task} compares "
        "answers with those of the baseline; if they are labels, send the data for their task"
    ]


def _statistics(header: npz.ArrayHeader, form: ExampleForm) -> ChannelStatistics:
    pieces = -(-header.num_bytes // npz.CHUNK_BYTES)
    return ChannelStatistics(channels=form.channels(header.shape), pieces=pieces)


def _channel_ranges(
    archive: npz.Archive, split: Split, form: ExampleForm, seen: ChannelStatistics
) -> Ranges:
    """Return the range of every channel; ``seen`` is shown the training examples.

    Raises InvalidData for values that are not allowed.
    """
    name = f"x_{split}"
    shape = archive.arrays[name].shape
    channels = form.channels(shape)
    low_C, high_C = np.full(channels, np.inf), np.full(channels, -np.inf)
    rest, begin = np.empty(0, archive.arrays[name].dtype), 0
    for chunk in archive.chunks(name):
        if not np.isfinite([chunk.min(), chunk.max()]).all():
            position = begin + int(np.isfinite(chunk).argmin())
            raise InvalidData(f"{name} holds a NaN or an infinity {form.where(shape, position)}")
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
            raise InvalidData(f"{form.named(channel, shape)} of {name} {problem}")
    return ranges


def _is_whole(archive: npz.Archive, name: str) -> bool:
    if archive.arrays[name].dtype.kind != "f":
        return True
    return all(bool((chunk == np.rint(chunk)).all()) for chunk in archive.chunks(name))


def _per_channel(least: np.ufunc, flat: NDArray[np.generic], channels: int) -> NDArray[np.generic]:
    """Reduce pixels with the given ufunc; long rows first, which numpy compares faster."""
    row = channels * max(1, _ROW_VALUES // channels)
    rows = len(flat) // row * row
    found = [flat[rows:].reshape(-1, channels)]
    if rows:
        found.append(least.reduce(flat[:rows].reshape(-1, row)).reshape(-1, channels))
    return least.reduce(np.concatenate(found))


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


def _copies(
    archive: npz.Archive, present: Sequence[Split], halves: Halves | None, examples: str
) -> tuple[str, ...]:
    """Warn about examples that occur more than once."""
    digests: dict[Split, NDArray[np.uint64]] = {
        split: fingerprints.of_examples(archive, f"x_{split}") for split in present
    }
    if halves is not None:
        train, validation = halves
        digests["validation"] = digests["train"][validation]
        digests["train"] = digests["train"][train]
    return tuple(fingerprints.warnings(digests, examples, is_held_out=halves is not None))
