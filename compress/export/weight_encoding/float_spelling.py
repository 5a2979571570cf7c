"""Decoders in float32, from operators of opset 13 that every runtime computes alike.

Runtimes disagree about integers: OpenVINO narrows 64 bits to 32, divides 32 bits as floats and
leaves sums of integers in the graph (its issues 35830, 35890, 35891); OpenCV 5 splits the second
axis where none is said. Integers below 2^24 are exact
in float32, and each of these is. Operators on constants: Cast, Add, Sub, Mul, Div, Floor, Max, Min,
CumSum, MatMul, Gather and what only moves values; all on float32, but for places of a Gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.spelling import PRICE, Spelling
from compress.network.stored_weight import TOP

# Of a byte whose bits are divided, beyond what planes count, and what a table of all 256 adds to a
# file.
_DIVIDED_BYTES = 200
_BIT_TABLE_BYTES = 170
_BYTE = 8
_NIBBLE = 16


class FloatSpelling(Spelling):
    """Quotients are rounded down, levels of a code are written out, sums count in float32.

    A level reads the one before three times. OpenVINO before 2025 follows every path from a weight
    to the file's constants, 3 to the power of levels: a ResNet-20 of 8 bits and 60 % zeros took
    17 s of CPU time to load with 10 levels, one of 4 bits more than 100 s with 12. With 8 it is
    1.6 s, for 5 % more bytes of the first and 2 % of the second.
    """

    words = (np.uint8,)
    has_int4 = False
    says_axis = True
    most_levels = 8
    most_counted = 2.0**24
    plane_bytes = 16
    level_bytes = 180
    level_temporaries = 36
    count_temporaries = 16

    def digits(
        self,
        building: Building,
        words_M1: NDArray[np.integer[Any]],
        powers_K: NDArray[np.integer[Any]],
        base: int,
    ) -> str:
        """Divide as float32."""
        words = building.add("Cast", [building.constant(words_M1)], to=TensorProto.FLOAT)
        digits = _digits(building, words, powers_K, base)
        building.temporaries += 8 * words_M1.size + 28 * words_M1.size * len(powers_K)
        return self.places(building, digits)

    def bits(self, building: Building, packed_M: NDArray[np.uint8]) -> str:
        """Divide, or look up what all 256 bytes hold, which takes an eighth of the memory."""
        powers = 1 << np.arange(_BYTE)
        packed = building.constant(packed_M)
        if len(packed_M) * _DIVIDED_BYTES * PRICE > _BIT_TABLE_BYTES:
            digits = _digits(building, _all_bytes(building), powers, 2)
            index = building.add("Cast", [packed], to=TensorProto.INT32)
            return building.add("Gather", [building.reshape(digits, [256, _BYTE]), index])
        building.temporaries += _DIVIDED_BYTES * len(packed_M)
        column = building.reshape(packed, [len(packed_M), 1])
        words = building.add("Cast", [column], to=TensorProto.FLOAT)
        return _digits(building, words, powers, 2)

    def first_nodes(self, building: Building, first_ML: NDArray[np.uint8]) -> str:
        """Multiply by powers of two."""
        plane = self.plane(building, first_ML)
        building.temporaries += 4 * len(first_ML)
        if first_ML.shape[1] == 1:
            return plane
        building.temporaries += 4 * first_ML.size + 4 * len(first_ML)
        rows = building.reshape(plane, first_ML.shape)
        powers_L1 = (1 << np.arange(first_ML.shape[1])[::-1, None]).astype(np.float32)
        return building.add("MatMul", [rows, building.constant(powers_L1)])

    def levels(
        self,
        building: Building,
        nodes: str,
        bounds: Sequence[int],
        planes: Sequence[NDArray[np.uint8]],
    ) -> str:
        """Write every level out: no function, no Sign."""
        if not planes:
            return nodes
        zero, one = (building.constant(np.asarray(each, np.float32)) for each in (0, 1))
        axis = building.constant(np.asarray(0, np.int32))
        for bound, plane in zip(bounds, planes, strict=True):
            bits = self.plane(building, plane)
            last = building.constant(np.asarray(bound - 1, np.float32))
            beyond = building.add("Max", [building.add("Sub", [nodes, last]), zero])
            reaches = building.add("Min", [beyond, one])
            place = self.places(building, building.add("CumSum", [reaches, axis]))
            step = building.add("Sub", [beyond, building.add("Gather", [bits, place])])
            nodes = building.add("Add", [nodes, building.add("Max", [step, zero])])
        return nodes

    def places(self, building: Building, nodes: str) -> str:
        """Cast to int32."""
        return building.add("Cast", [nodes], to=TensorProto.INT32)

    def kept(self, building: Building, plane: str) -> str:
        """Count in float32."""
        counts = building.add("CumSum", [plane, building.constant(np.asarray(0, np.int32))])
        return self.places(building, building.add("Mul", [plane, counts]))

    def as_float(self, building: Building, integers: str, size: int) -> str:
        """Cast them, and take the largest of each and -127, which is the value itself.

        Where OpenVINO finds int8, Cast and Mul in front of a MatMul, it rounds what the MatMul
        multiplies the weights by to 8 bits, too: answers of 2024.6 are off by a hundredth.
        """
        casted = building.add("Cast", [integers], to=TensorProto.FLOAT)
        building.temporaries += 4 * size
        lowest = building.constant(np.asarray(-TOP, np.float32))
        return building.add("Max", [casted, lowest])


FLOATS = FloatSpelling()


def _digits(building: Building, words: str, powers: NDArray[np.integer[Any]], base: int) -> str:
    """Return ``floor(words / powers) mod base``.

    A half more than an integer is far from the next one, so a runtime may as well multiply by the
    reciprocal. The digit is what is left of a quotient without the next one.
    """
    half = building.constant(np.asarray(0.5, np.float32))
    above = building.add("Add", [words, half])
    divisors = powers.astype(np.float32)
    quotients, following = (
        building.add("Floor", [building.add("Div", [above, building.constant(each)])])
        for each in (divisors, divisors * np.float32(base))
    )
    whole = building.constant(np.asarray(base, np.float32))
    return building.add("Sub", [quotients, building.add("Mul", [following, whole])])


def _all_bytes(building: Building) -> str:
    """Return 0 to 255 as floats, ``(16, 16, 1)``, from twice sixteen bytes."""
    lower = np.arange(_NIBBLE, dtype=np.uint8)[:, None]
    names = [building.constant(values) for values in (_NIBBLE * lower[:, None], lower)]
    casts = [building.add("Cast", [name], to=TensorProto.FLOAT) for name in names]
    return building.add("Add", casts)
