"""Float16 in a file: as it is behind a Cast, or its upper bytes in an optimal prefix code.

The upper byte of a float16 is its sign, its exponent and the first two bits of its fraction. In a
network's weights few of the 256 occur and those unequally often (6.0 bits of 8 on the published
ResNet-20); the lower byte is noise. With the upper byte ``h`` and the lower byte ``l``

    value = base[h] + step[h] * l,    base[h] = half(256 h),    step[h] = half(256 h + 1) - base[h]

where ``half`` reads 16 bits as a number. Every term has at most 11 digits, so float32 is exact.

Legend: N values, A upper bytes that occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from compress.export.weight_encoding import floats, streams
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.spelling import Spelling
from compress.export.weight_encoding.streams import Stream

# Places among them have to be int8.
_MOST_BYTES = 128
_TEMPORARIES = 24


def whole(building: Building, values_N: NDArray[np.float32], _: Spelling = INTEGERS) -> Stream:
    """Store values that float16 holds, two bytes each."""
    building.temporaries += 4 * len(values_N)
    return Stream(name=floats.constant(building, values_N), size=len(values_N), itemsize=4)


def coded(
    building: Building, values_N: NDArray[np.float32], spelling: Spelling = INTEGERS
) -> Stream | None:
    """Store a byte for each of them and a code for the other; None if a code gains nothing."""
    words_N = values_N.astype(np.float16).view(np.uint16)
    upper_A, places_N = np.unique(words_N >> 8, return_inverse=True)
    if len(upper_A) > _MOST_BYTES:
        return None
    stream = streams.huffman(building, places_N.astype(np.int8), spelling)
    if stream is None:
        return None
    flat = building.reshape(stream.name, [stream.size])
    (places,) = building.split(flat, [len(values_N)], total=stream.size)
    index = building.add("Cast", [places], to=TensorProto.INT32)
    base_A, next_A = (_as_half((upper_A << 8) + lower) for lower in (0, 1))
    base, step = (
        building.add("Gather", [floats.constant(building, table_A), index])
        for table_A in (base_A, next_A - base_A)
    )
    bytes_N = building.constant((words_N & 255).astype(np.uint8))
    lower = building.add("Cast", [bytes_N], to=TensorProto.FLOAT)
    value = building.add("Add", [base, building.add("Mul", [step, lower])])
    building.temporaries += _TEMPORARIES * len(values_N)
    return Stream(name=value, size=len(values_N), itemsize=4)


def _as_half(words_A: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    return words_A.astype(np.uint16).view(np.float16).astype(np.float32)
