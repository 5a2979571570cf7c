"""Arrays of a dataset that are named as the inputs of a network: ``age_train``, ``image_train``.

An example holds all of them (``compress.tasks.formats.input_parts``). Masks and kinds of words that
follow from ids are looked at and left out: networks get them made of the ids. Torch-free.

Legend: N examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from compress.network.signature import packed_shape
from compress.network.sources.ports.made import IDS, RULES
from compress.tasks.conversion import array_names, numbers, writing
from compress.tasks.conversion.array_names import SPLITS_BY_NAME, NamedArrays
from compress.tasks.conversion.targets import ReadTargets
from compress.tasks.formats import input_parts, npz
from compress.tasks.formats.input_parts import Part
from compress.tasks.reading import Conversion
from compress.values.errors import InvalidData
from compress.values.measurement import SPLITS, Split
from compress.values.shown import some

_LONGEST = input_parts.LONGEST_NAME + 20
_NAME = re.compile(r"(?P<input>.+)[_\-. ](?P<split>[A-Za-z]+)", re.DOTALL)


class _Names:
    """Names of arrays of any input; a container for ``npz.open_archive``."""

    def __contains__(self, name: object) -> bool:
        if name in array_names.NAMES or name == input_parts.ARRAY:
            return True
        return isinstance(name, str) and _split_of(name) is not None

    def __str__(self) -> str:
        return f"{array_names.NAMES}; of several inputs NAME_train and so on for each"


NAMES: Final = _Names()


@dataclass(frozen=True, kw_only=True)
class NamedInputs:
    """The arrays of every input and split, by the names of the inputs in their order.

    ``made`` are those that follow from ids.
    """

    arrays: Mapping[str, Mapping[Split, str]]
    made: Mapping[str, Mapping[Split, str]]
    labels: Mapping[Split, str]
    class_names: str | None

    def first(self) -> NamedArrays:
        """The arrays as if the first input were all."""
        images = next(iter(self.arrays.values()))
        return NamedArrays(dict(images), dict(self.labels), self.class_names)


def _split_of(name: str) -> tuple[str, Split] | None:
    match = _NAME.fullmatch(name) if len(name) <= _LONGEST else None
    split = None if match is None else SPLITS_BY_NAME.get(match["split"].lower())
    return None if match is None or split is None else (match["input"], split)


def found(names: Iterable[str], *, are_answered: bool) -> NamedInputs | None:
    """Return the arrays by their inputs; None if all are called as those of one input.

    Raises InvalidData if an input lacks a split that another has.
    """
    names = list(names)
    if all(name in array_names.NAMES for name in names):
        return None
    if input_parts.ARRAY in names:
        raise InvalidData(
            f"{input_parts.ARRAY} says what x_train holds as a dataset keeps it, in uint8 or "
            "float32: leave it out, and name arrays as inputs, NAME_train and so on for each"
        )
    arrays: dict[str, dict[Split, str]] = {}
    labels: dict[Split, str] = {}
    classes: str | None = None
    for name in names:
        role, split_of = array_names.role(name), _split_of(name)
        if role is not None and role.axis == "y":
            labels[role.split] = name
        elif split_of is not None:
            arrays.setdefault(split_of[0], {})[split_of[1]] = name
        elif role is None:
            classes = name
        else:
            raise InvalidData(
                f"array {name!r} does not say its split: of several inputs each is NAME_train"
            )
    _check_splits(arrays, labels if are_answered else None)
    made = {name: each for name, each in arrays.items() if name in RULES and IDS in arrays}
    kept = {input_parts.check_name(n): each for n, each in arrays.items() if n not in made}
    return NamedInputs(arrays=kept, made=made, labels=labels, class_names=classes)


def _check_splits(
    arrays: Mapping[str, Mapping[Split, str]], labels: Mapping[Split, str] | None
) -> None:
    present = [split for split in SPLITS if any(split in each for each in arrays.values())]
    groups = dict(arrays) | ({} if labels is None else {"y": labels})
    for name, each in groups.items():
        missing = [split for split in ("train", *present) if split not in each]
        if missing:
            raise InvalidData(
                f"array '{name}_{missing[0]}' is missing: the inputs are "
                f"{some(list(arrays))}, and each needs every split"
            )


def convert(
    archive: npz.Archive, target: IO[bytes], named: NamedInputs, answers: ReadTargets
) -> Conversion:
    """Write the dataset of the arrays to ``target``. Raises InvalidData."""
    parts = _parts(archive, named)
    headers = [archive.arrays[a] for each in named.arrays.values() for a in each.values()]
    archive.expect(
        [header.name for header in headers], times=2 if numbers.needs_range(headers) else 1
    )
    dtype, notes = numbers.dtype(archive, headers, what="examples")
    left_out = tuple(_left_out(archive, named))
    shape = packed_shape([part.shape for part in parts])
    with writing.dataset_writer(target) as writer:
        for split in next(iter(named.arrays.values())):
            own = [each[split] for each in named.arrays.values()]
            count = archive.arrays[own[0]].shape[0]
            rows = (input_parts.packed(values) for values in _together(archive, own))
            pieces = rows if len(parts) > 1 else archive.rows(own[0])
            writer.add(f"x_{split}", (count, *shape), np.dtype(dtype).str, pieces)
            answers.write(writer, split)
        answers.write_names(writer)
        if len(parts) > 1:
            writer.add_texts(input_parts.ARRAY, input_parts.texts(parts))
    return Conversion(
        format="npz",
        notes=(_said(parts), *left_out, *notes, *answers.notes),
        warnings=answers.warnings,
    )


def _said(parts: Sequence[Part]) -> str:
    if len(parts) == 1:
        return f"examples are those of the input {parts[0].name}"
    inputs = ", ".join(f"{part.name} {part.shape}" for part in parts)
    return f"an example holds the inputs {inputs}"


def _parts(archive: npz.Archive, named: NamedInputs) -> list[Part]:
    """Return the parts of an example. Raises InvalidData if splits or inputs do not agree."""
    parts: list[Part] = []
    counts: dict[Split, set[int]] = {}
    for name, arrays in named.arrays.items():
        shapes = {archive.arrays[each].shape[1:] for each in arrays.values()}
        if len(shapes) > 1:
            raise InvalidData(
                f"all splits of the input {name!r} must share one shape, got {shapes}"
            )
        parts.append(Part(name, shapes.pop()))
        for split, each in arrays.items():
            if not archive.arrays[each].shape:
                raise InvalidData(f"{each} must have shape (N, ...), got ()")
            counts.setdefault(split, set()).add(archive.arrays[each].shape[0])
    for split, found in counts.items():
        if len(found) > 1:
            raise InvalidData(
                f"all inputs of {split} must have as many examples, got {sorted(found)}"
            )
    return parts


def _left_out(archive: npz.Archive, named: NamedInputs) -> Iterator[str]:
    """Say which arrays follow from ids. Raises InvalidData for one that does not."""
    for name, arrays in named.made.items():
        for split, array in arrays.items():
            _check_made(archive, array, named.arrays[IDS][split], how=RULES[name])
        yield f"{name} is left out: networks get it made of {IDS}"


def _check_made(archive: npz.Archive, array: str, ids: str, *, how: str) -> None:
    if archive.arrays[array].shape != archive.arrays[ids].shape:
        raise InvalidData(
            f"{array} must have the shape of {ids}, {archive.arrays[ids].shape}, got "
            f"{archive.arrays[array].shape}"
        )
    begin = 0
    for values, ids_B in _together(archive, [array, ids]):
        expected = (ids_B != 0) if how == "mask" else np.zeros(ids_B.shape)
        wrong = np.argwhere(values != expected)
        if len(wrong):
            row, *place = wrong[0].tolist()
            rule = "1 where an id is not 0, which is padding" if how == "mask" else "0 everywhere"
            raise InvalidData(
                f"{array} holds {values[(row, *place)]} in row {begin + row}, column {place[-1]}, "
                f"beside the id {ids_B[(row, *place)]}: it must be {rule}; pad rows with 0"
            )
        begin += len(values)


def _together(archive: npz.Archive, names: Sequence[str]) -> Iterator[list[NDArray[np.generic]]]:
    """Yield the same rows of several arrays, some at a time."""
    waiting: list[Iterator[NDArray[np.generic]]] = [_rows(archive, name) for name in names]
    held = [next(each, None) for each in waiting]
    while all(each is not None for each in held):
        rows = [each for each in held if each is not None]
        count = min(map(len, rows))
        yield [each[:count] for each in rows]
        held = [
            each[count:] if len(each) > count else next(more, None)
            for each, more in zip(rows, waiting, strict=True)
        ]


def _rows(archive: npz.Archive, name: str) -> Iterator[NDArray[np.generic]]:
    """Yield an array along its first axis; single numbers, ``(N,)``, too."""
    if len(archive.arrays[name].shape) > 1:
        yield from archive.rows(name)
    else:
        yield from archive.chunks(name)
