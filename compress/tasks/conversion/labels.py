"""Labels as people have them: numbers from anywhere, texts, one-hot rows. Torch-free.

Legend: N images, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.tasks.inspection import check_class_names
from compress.values.errors import InvalidData
from compress.values.measurement import MAX_CLASSES, Split
from compress.values.shown import some

Codes: TypeAlias = dict[Split, NDArray[np.int64]]
_LARGEST = 2**53
"""Up to here float64 tells whole numbers apart."""
_NUMBER = re.compile(r"0|-?[1-9]\d{0,8}")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class CountedLabels:
    """Labels that count from 0, names of classes if the numbers do not say all, and what was said.

    ``class_names`` is empty if there are as many classes as the largest label in train says.
    """

    codes: Codes
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Texts:
    """Every label of a split as a number, and the text that each number stands for."""

    codes_N: NDArray[np.int64]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _OneHot:
    """The place of the one in every row of a split, and the length of the rows."""

    codes_N: NDArray[np.int64]
    length: int


_Raw: TypeAlias = NDArray[np.int64] | _Texts | _OneHot


def read(
    archive: npz.Archive,
    arrays: Mapping[Split, str],
    *,
    class_names: str | None = None,
    classes: int | None = None,
) -> CountedLabels:
    """Read the labels of all splits; ``class_names`` is the array that names the classes, if any.

    Raises InvalidData that says what a label cannot be, and where it is.
    """
    named = () if class_names is None else names(archive, class_names)
    if named and classes not in (None, len(named)):
        raise InvalidData(f"classes: is {classes}, but {class_names} names {len(named)} classes")
    raw: dict[Split, _Raw] = {split: _raw(archive, name) for split, name in arrays.items()}
    kinds = {type(each) for each in raw.values()}
    if len(kinds) > 1:
        raise InvalidData(
            f"{some(list(arrays.values()))} hold labels of different kinds (numbers, texts or "
            "one-hot rows): write all of them in the same way"
        )
    texts: dict[Split, tuple[NDArray[np.int64], Sequence[str]]] = {}
    rows: dict[Split, _OneHot] = {}
    numbers: Codes = {}
    for split, each in raw.items():
        match each:
            case _Texts():
                texts[split] = (each.codes_N, each.texts)
            case _OneHot():
                rows[split] = each
            case _:
                numbers[split] = each
    if texts:
        return of_texts(texts, named, classes)
    return _of_rows(rows, named, classes) if rows else _of_numbers(numbers, named, classes)


def of_texts(
    found: Mapping[Split, tuple[NDArray[np.int64], Sequence[str]]],
    names: Sequence[str] = (),
    classes: int | None = None,
) -> CountedLabels:
    """Number classes that are told by texts, in the order of ``names`` or else alphabetically.

    ``found`` has, for each split, a number for every image and the text of every number.
    """
    train = set(found["train"][1])
    if not names and all(_NUMBER.fullmatch(text) for _, texts in found.values() for text in texts):
        numbers: Codes = {
            split: np.array([*map(int, texts)], np.int64)[codes_N]
            for split, (codes_N, texts) in found.items()
        }
        return _of_numbers(numbers, (), classes)
    order = tuple(names) or tuple(sorted(train))
    for split, (_, texts) in found.items():
        strange = sorted(set(texts) - set(order))
        if strange:
            known = "class_names" if names else "train"
            raise InvalidData(
                f"{split} holds the classes {some(strange)}, which {known} has not: it has "
                f"{some(list(order))}"
            )
    if classes not in (None, len(order)):
        raise InvalidData(f"classes: is {classes}, but the labels are {len(order)} texts")
    place = {text: label for label, text in enumerate(order)}
    codes: Codes = {
        split: np.array([place[text] for text in texts], np.int64)[codes_N]
        for split, (codes_N, texts) in found.items()
    }
    note = f"classes are told by texts, numbered {'as named' if names else 'in alphabetical order'}"
    return CountedLabels(codes=codes, class_names=order, notes=(f"{note}: {_pairs(order)}",))


def _of_rows(
    rows: Mapping[Split, _OneHot], names: tuple[str, ...], classes: int | None
) -> CountedLabels:
    lengths = {each.length for each in rows.values()} | ({len(names)} if names else set())
    lengths |= set() if classes is None else {classes}
    if len(lengths) > 1:
        raise InvalidData(f"one-hot labels and class names differ in length: {sorted(lengths)}")
    return CountedLabels(
        codes={split: each.codes_N for split, each in rows.items()},
        class_names=names or _numbers(lengths.pop()),
        notes=("labels are one-hot rows: the class is the place of the one",),
    )


def _of_numbers(numbers: Codes, names: tuple[str, ...], classes: int | None) -> CountedLabels:
    known = len(names) or classes
    values_K = np.unique(np.concatenate([np.unique(each) for each in numbers.values()]))
    low, high = int(values_K[0]), int(values_K[-1])
    if known is not None:
        if low < 0 or high >= known:
            raise InvalidData(f"labels go from {low} to {high}, expected 0 to {known - 1}")
        return CountedLabels(codes=numbers, class_names=names or _numbers(known))
    if len(values_K) > MAX_CLASSES:
        raise InvalidData(
            f"labels have {len(values_K):,} different values, at most {MAX_CLASSES:,} classes are "
            "possible"
        )
    if (low, high) == (0, len(values_K) - 1):
        return CountedLabels(codes=numbers)
    return _counted_anew(numbers, values_K)


def _counted_anew(numbers: Codes, values_K: NDArray[np.int64]) -> CountedLabels:
    """Leave out numbers that no label has."""
    trained = np.unique(numbers["train"])
    strange = [str(value) for value in values_K[~np.isin(values_K, trained)].tolist()]
    if strange:
        raise InvalidData(
            f"validation or test hold the classes {some(strange)}, which train has not: it has "
            f"{some([str(value) for value in trained.tolist()])}"
        )
    names = tuple(str(value) for value in values_K.tolist())
    high = int(values_K[-1])
    way_out = f"; if the network tells {high + 1} apart, say classes: {high + 1}"
    return CountedLabels(
        codes={split: np.searchsorted(values_K, each) for split, each in numbers.items()},
        class_names=names,
        warnings=(
            f"labels are not 0 to {len(names) - 1} but {len(names)} numbers from {names[0]} to "
            f"{names[-1]}: they are counted anew ({_pairs(names)})"
            + (way_out if int(values_K[0]) >= 0 and high < MAX_CLASSES else ""),
        ),
    )


def _pairs(names: Sequence[str]) -> str:
    """Say what the first numbers stand for, and the last one."""
    shown = [f"{label} is {name!r}" for label, name in enumerate(names[:_SHOWN])]
    more = [f"{len(names) - 1} is {names[-1]!r}"] if len(names) > _SHOWN else []
    return ", ".join([*shown, *(["..."] if len(names) > _SHOWN + 1 else []), *more])


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def names(archive: npz.Archive, name: str) -> tuple[str, ...]:
    """Return the names of classes in an array. Raises InvalidData for what is none."""
    header = archive.arrays[name]
    if header.dtype.kind not in "SU" or len(header.shape) != 1 or header.shape[0] > MAX_CLASSES:
        raise InvalidData(
            f"{name} must be at most {MAX_CLASSES} texts, got shape {header.shape} of "
            f"{header.dtype}"
        )
    return check_class_names(name, [text for rows in archive.rows(name) for text in _texts(rows)])


def _raw(archive: npz.Archive, name: str) -> _Raw:
    header = archive.arrays[name]
    images, length = (*header.shape, 1)[:2] if len(header.shape) in (1, 2) else (0, 0)
    if images == 0 or not 1 <= length <= MAX_CLASSES:
        raise InvalidData(
            f"{name} must have shape (N,), or (N, K) of one-hot rows, got {header.shape}"
        )
    if header.dtype.kind in "SU":
        if length != 1:
            raise InvalidData(f"{name} must have one text per image, got shape {header.shape}")
        return _gathered(name, archive.rows(name))
    if length > 1:
        return _OneHot(np.concatenate([*_places(name, archive.rows(name))]), length)
    return np.concatenate([*_whole(name, archive.rows(name))])


def _whole(name: str, pieces: Iterable[NDArray[np.generic]]) -> Iterator[NDArray[np.int64]]:
    for piece in pieces:
        values_N = piece.reshape(-1)
        if values_N.dtype.kind == "f":
            odd = ~(np.isfinite(values_N) & (np.floor(values_N) == values_N))
            if odd.any():
                raise InvalidData(
                    f"{name} must hold classes, got {values_N[odd][0]}, which is no whole number: "
                    "numbers to predict are no classes"
                )
        largest = max(values_N.max().item(), -values_N.min().item())
        if largest > _LARGEST:
            raise InvalidData(f"{name} must hold classes, got numbers as large as {largest:.6g}")
        yield values_N.astype(np.int64)


def _places(name: str, pieces: Iterable[NDArray[np.generic]]) -> Iterator[NDArray[np.int64]]:
    for rows_NK in pieces:
        is_one_NK = rows_NK == 1
        wrong_N = (is_one_NK.sum(axis=1) != 1) | ((rows_NK != 0).sum(axis=1) != 1)
        if wrong_N.any():
            row = np.array2string(rows_NK[wrong_N][0], threshold=8, precision=4)
            raise InvalidData(
                f"{name} has rows that are not one-hot, as {row[:120]}: every image must have "
                "exactly one class; of probabilities, save argmax(axis=1)"
            )
        yield is_one_NK.argmax(axis=1)


def _gathered(name: str, pieces: Iterable[NDArray[np.generic]]) -> _Texts:
    place: dict[str, int] = {}
    codes: list[NDArray[np.int64]] = []
    for piece in pieces:
        found_K, back_N = np.unique(piece.reshape(-1), return_inverse=True)
        if len(place) + len(found_K) > 2 * MAX_CLASSES:
            raise InvalidData(f"{name} holds more than {MAX_CLASSES:,} different texts")
        texts = _texts(found_K)
        numbers = [place.setdefault(text, len(place)) for text in texts]
        codes.append(np.array(numbers, np.int64)[back_N.reshape(-1)])
    if len(place) > MAX_CLASSES:
        raise InvalidData(f"{name} holds more than {MAX_CLASSES:,} different texts")
    return _Texts(np.concatenate(codes), check_class_names(name, list(place)))


def _texts(found_K: NDArray[np.generic]) -> list[str]:
    """Return texts as Python has them. Raises InvalidData for what is none."""
    try:
        listed = found_K.tolist()
        return [text.decode() if isinstance(text, bytes) else text for text in listed]
    except (ValueError, SystemError) as error:
        raise InvalidData(f"texts of labels must be UTF-8 or Unicode: {error}") from error
