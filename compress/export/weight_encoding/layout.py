"""Lay out a decoded stream as the tensors of the layers, and turn integers into floats.

Tensors of one trailing shape lie next to each other, so one Reshape and one Split serve them all:
a layer costs the name and the size of its part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from compress.export.weight_encoding import floats
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.spelling import Spelling
from compress.export.weight_encoding.streams import Stream, occurring
from compress.network.stored_weight import SparseFloat, StoredWeight, is_half


@dataclass(frozen=True, kw_only=True)
class EncodedWeight:
    """One weight and the form in which the file wants it.

    ``is_float`` asks for float32 values instead of integers, ``transposed`` for the axes of a
    matrix in reverse, ``has_palette`` stores places in the tensor's own codebook.
    """

    name: str
    weight: StoredWeight | SparseFloat
    is_float: bool
    transposed: bool = False
    has_palette: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's own shape."""
        stored = self.weight
        return (stored.values_OI if isinstance(stored, SparseFloat) else stored.integers_OI).shape

    @property
    def size(self) -> int:
        """The number of weights."""
        return prod(self.shape)

    @property
    def casts(self) -> bool:
        """Whether its codes are the integers of a float weight."""
        is_grid = isinstance(self.weight, StoredWeight)
        return self.is_float and is_grid and not self.has_palette

    @property
    def integers(self) -> NDArray[np.int8]:
        """The integers of a weight on a grid."""
        assert isinstance(self.weight, StoredWeight)
        return self.weight.integers_OI

    @property
    def content(self) -> tuple[object, ...]:
        """What its tensor holds; items of equal content share one tensor."""
        weight, form = self.weight, (self.is_float, self.transposed, self.shape)
        if isinstance(weight, SparseFloat):
            return (*form, type(weight), _digest(weight.values_OI))
        scale = (weight.scale.shape, weight.scale.tobytes()) if self.is_float else ()
        return (*form, StoredWeight, _digest(weight.integers_OI), *scale)

    @cached_property
    def is_half(self) -> bool:
        """Whether float16 holds exactly the values of a float weight."""
        return isinstance(self.weight, SparseFloat) and is_half(self.weight.values_OI)

    @property
    def groups(self) -> int:
        """The number of scales per output channel in the decoding; 0 for one or none."""
        if isinstance(self.weight, SparseFloat) or not self.is_float:
            return 0
        return self.weight.groups

    @cached_property
    def codebook(self) -> NDArray[np.int8]:
        """The integers that occur, ascending."""
        return occurring(self.integers)

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        """What the stream holds, flat."""
        if self.has_palette:
            return np.searchsorted(self.codebook, self.integers).astype(np.int8).ravel()
        return self.integers.ravel()

    @property
    def place(self) -> tuple[object, ...]:
        """The key of tensors that share a Reshape, a Mul and a Split.

        Those of 3x3 kernels come first: blocks of three weights are then rows of a kernel.
        """
        is_loose = prod(self.shape[1:]) % 9 != 0
        kinds = (self.is_float, self.has_palette, isinstance(self.weight, SparseFloat))
        return (is_loose, len(self.shape), self.shape[1:], self.groups, *kinds)


def ordered(items: Sequence[EncodedWeight]) -> list[EncodedWeight]:
    """Return the items in the order of their stream."""
    return sorted(items, key=lambda item: item.place)


def lay_out(
    building: Building,
    stream: Stream,
    items: Sequence[EncodedWeight],
    spelling: Spelling = INTEGERS,
) -> dict[str, str]:
    """Return the tensor of every item of a stream, whose ``items`` are ``ordered``."""
    parts = [list(part) for _, part in groupby(items, key=lambda item: item.place)]
    sizes = [sum(item.size for item in part) for part in parts]
    if all(item.casts for item in items):
        stream = _as_float(building, stream, spelling)
    names = [stream.name]
    if sizes != [stream.size]:
        flat = building.reshape(stream.name, [stream.size])
        names = building.split(flat, sizes, total=stream.size)
        building.temporaries += 2 * stream.itemsize * stream.size
    result: dict[str, str] = {}
    for name, part in zip(names, parts, strict=True):
        result |= _tensors(building, replace(stream, name=name), part, spelling)
    return result


def _as_float(building: Building, stream: Stream, spelling: Spelling) -> Stream:
    building.temporaries += 4 * stream.size
    return Stream(
        name=spelling.as_float(building, stream.name, stream.size), size=stream.size, itemsize=4
    )


def _tensors(
    building: Building, stream: Stream, part: list[EncodedWeight], spelling: Spelling
) -> dict[str, str]:
    first, channels = part[0], [item.shape[0] for item in part]
    size = sum(item.size for item in part)
    shaped = building.reshape(stream.name, [sum(channels), *first.shape[1:]])
    building.temporaries += 2 * stream.itemsize * size
    if first.is_float and not first.has_palette and isinstance(first.weight, StoredWeight):
        if stream.itemsize == 1:
            shaped = spelling.as_float(building, shaped, size)
            building.temporaries += 7 * size
        if first.groups:
            shaped = _scaled(building, shaped, part)
    elif first.has_palette:
        shaped = building.add("Cast", [shaped], to=TensorProto.INT32)
        building.temporaries += 8 * size
    says_axis = spelling.says_axis and len(first.shape) > 1
    names = building.split(shaped, channels, total=sum(channels), says_axis=says_axis)
    tensors = zip(names, part, strict=True)
    return {item.name: finished(building, name, item, spelling) for name, item in tensors}


def to_float(building: Building, name: str, item: EncodedWeight, spelling: Spelling) -> str:
    """Return the float32 weight from a tensor of its integers, in the axes of the file."""
    building.temporaries += 4 * item.size
    name = spelling.as_float(building, name, item.size)
    scaled = _scaled(building, name, [item]) if item.groups else name
    return finished(building, scaled, item, spelling)


def finished(building: Building, name: str, item: EncodedWeight, spelling: Spelling) -> str:
    """Apply the last steps to one tensor: its own codebook, its own scale, the file's axes."""
    if item.has_palette:
        name = _looked_up(building, name, item, spelling)
    elif item.is_float and isinstance(item.weight, StoredWeight) and not item.groups:
        name = building.add("Mul", [name, building.constant(item.weight.scale.reshape(()))])
        building.temporaries += 4 * item.size
    if item.transposed:
        name = building.add("Transpose", [name])
        building.temporaries += 4 * item.size
    return name


def _looked_up(building: Building, name: str, item: EncodedWeight, spelling: Spelling) -> str:
    assert isinstance(item.weight, StoredWeight)
    building.temporaries += 4 * item.size
    if item.is_float and not item.groups:
        values = item.codebook.astype(np.float32) * item.weight.scale.reshape(())
        return building.add("Gather", [building.constant(values), name])
    name = building.add("Gather", [building.constant(item.codebook), name])
    if not item.is_float:
        return name
    return _scaled(building, spelling.as_float(building, name, item.size), [item])


def _scaled(building: Building, name: str, part: list[EncodedWeight]) -> str:
    """Multiply by the scales of all output channels, or of groups of their inputs."""
    shape = [sum(item.shape[0] for item in part), *part[0].shape[1:]]
    scales = [item.weight.scale for item in part if isinstance(item.weight, StoredWeight)]
    groups = part[0].groups
    building.temporaries += 4 * prod(shape)
    if groups == 1:
        scale_O = np.concatenate([scale.ravel() for scale in scales])
        scale_O1 = floats.constant(building, scale_O.reshape(-1, *[1] * len(shape[1:])))
        return building.add("Mul", [name, scale_O1])
    building.temporaries += 8 * prod(shape)
    scale_OG1 = floats.constant(building, np.concatenate(scales)[..., None])
    grouped = building.reshape(name, [shape[0], groups, prod(shape[1:]) // groups])
    return building.reshape(building.add("Mul", [grouped, scale_OG1]), shape)


def _digest(values: NDArray[np.int8] | NDArray[np.float32]) -> bytes:
    return hashlib.sha256(values.tobytes()).digest()
