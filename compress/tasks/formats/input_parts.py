"""Examples of several inputs: what each part of them is. Torch-free.

``x_<split>`` holds all parts of an example (``signature.packed_shape``), and ``input_parts`` says
for each its shape and the input that it is for, as ``3x8x8 image``; ``- age`` is one number.

Legend: N examples, P parts, L length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from compress.network.signature import ExampleShape, is_stacked, packed_shape
from compress.tasks.formats import npz
from compress.values.errors import InvalidData
from compress.values.measurement import Split

ARRAY = "input_parts"
LONGEST_NAME = 200
_TEXT = re.compile(r"(?P<shape>-|[1-9]\d{0,8}(?:x[1-9]\d{0,8}){0,5}) (?P<name>.+)", re.DOTALL)
_SCALAR = "-"


class Part(NamedTuple):
    """The input that a part is for, and its shape."""

    name: str
    shape: ExampleShape


class InputPart(BaseModel, frozen=True, extra="forbid"):
    """A part of every example: its input, its shape, and its least and largest value."""

    name: str
    shape: ExampleShape
    value_range: tuple[float, float]
    is_whole: bool


def texts(parts: Sequence[Part]) -> list[str]:
    """Return the parts as a dataset keeps them."""
    return [f"{'x'.join(map(str, part.shape)) or _SCALAR} {part.name}" for part in parts]


def check_name(name: str) -> str:
    """Return the name of an input. Raises InvalidData if it is none."""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidData(
            f"{name[:LONGEST_NAME]!r} is no name of an input: expected 1 to {LONGEST_NAME} "
            "printable characters"
        )
    return name


def read(archive: npz.Archive, shape: ExampleShape) -> tuple[Part, ...]:
    """Return what the parts of examples of that shape are; none if an example is one array.

    Raises InvalidData if they are no such examples.
    """
    header = archive.arrays.get(ARRAY)
    if header is None:
        return ()
    is_listed = header.dtype.kind == "U" and len(header.shape) == 1
    if not is_listed or not 2 <= header.shape[0] <= npz.MAX_MEMBERS:
        raise InvalidData(
            f"{ARRAY} must be 2 to {npz.MAX_MEMBERS} texts such as '3x8x8 image', got shape "
            f"{header.shape} of {header.dtype}"
        )
    try:
        found = tuple(_part(text) for text in archive.read(ARRAY).tolist())
    except (ValueError, SystemError) as error:
        raise InvalidData(f"{ARRAY} must be Unicode: {error}") from error
    if len({part.name for part in found}) != len(found):
        raise InvalidData(f"{ARRAY} names an input twice")
    packed = packed_shape([part.shape for part in found])
    if packed != shape:
        raise InvalidData(f"{ARRAY} says examples of shape {packed}, those of x_train have {shape}")
    return found


def _part(text: str) -> Part:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidData(f"{ARRAY} must hold texts such as '3x8x8 image', got {text[:80]!r}")
    said = match["shape"]
    shape = () if said == _SCALAR else tuple(int(size) for size in said.split("x"))
    return Part(check_name(match["name"]), shape)


def described(
    archive: npz.Archive, parts: Sequence[Part], present: Sequence[Split]
) -> tuple[InputPart, ...]:
    """Return the parts with what their values are, in all splits together."""
    low_P, high_P = np.full(len(parts), np.inf), np.full(len(parts), -np.inf)
    whole_P = np.ones(len(parts), bool)
    for split in present if parts else ():
        for rows in archive.rows(f"x_{split}"):
            for place, values in enumerate(cut(rows, parts)):
                low_P[place] = min(low_P[place], float(values.min()))
                high_P[place] = max(high_P[place], float(values.max()))
                whole_P[place] &= bool((values == np.rint(values)).all())
    return tuple(
        InputPart(name=part.name, shape=part.shape, value_range=(low, high), is_whole=whole)
        for part, low, high, whole in zip(
            parts, low_P.tolist(), high_P.tolist(), whole_P.tolist(), strict=True
        )
    )


def cut(x: NDArray[np.generic], parts: Sequence[Part]) -> list[NDArray[np.generic]]:
    """Return the parts of some examples, each flat."""
    shapes = [part.shape for part in parts]
    if is_stacked(shapes):
        return [x[:, place] for place in range(len(parts))]
    ends = [0, *accumulate(prod(shape) for shape in shapes)]
    return [x[:, begin:end] for begin, end in pairwise(ends)]


def packed(values: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return some examples of whose parts these are the values, ``(n, ...)`` each."""
    if is_stacked([each.shape[1:] for each in values]):
        return np.stack(values, axis=1)
    return np.concatenate([each.reshape(len(each), -1) for each in values], axis=1)
