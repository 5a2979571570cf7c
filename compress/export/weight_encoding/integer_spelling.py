"""Decoders in integers: the fewest bytes, for new versions of ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, TensorProto, helper

from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.spelling import PRICE, Spelling

DOMAIN = "w"
_LEVEL = "l"
_OPSET = 21
# What the bits of a byte take while it is divided, beyond what planes count; and what the bits of
# all 256 add to a file.
_DIVIDED_BYTES = 60
_BIT_TABLE_BYTES = 80


class IntegerSpelling(Spelling):
    """Division and remainders of integers; a level of a code is a call of a function."""

    # Unsigned words are divided as int32: OpenVINO rounds quotients of bytes, and ONNX Runtime
    # before 1.21 divides none that are unsigned.
    words = (np.uint8, np.uint16, np.int32, np.int64)
    has_int4 = True
    says_axis = False
    most_levels = math.inf
    most_counted = float("inf")
    plane_bytes = 4
    level_bytes = 38
    level_temporaries = 33
    count_temporaries = 16

    def digits(
        self,
        building: Building,
        words_M1: NDArray[np.integer[Any]],
        powers_K: NDArray[np.integer[Any]],
        base: int,
    ) -> str:
        """Divide as int32, or as int64 if the words are."""
        words, size = building.constant(words_M1), words_M1.size * len(powers_K)
        if words_M1.dtype.kind == "u":
            words = building.add("Cast", [words], to=TensorProto.INT32)
            powers_K = powers_K.astype(np.int32)
            building.temporaries += 4 * words_M1.size
        building.temporaries += 2 * powers_K.itemsize * size
        return _remainders(building, words, powers_K, base)

    def bits(self, building: Building, packed_M: NDArray[np.uint8]) -> str:
        """Divide as int32, 10 bytes of memory for each bit, or look up what all 256 bytes hold."""
        powers = 1 << np.arange(8, dtype=np.uint8)
        if len(packed_M) * _DIVIDED_BYTES * PRICE > _BIT_TABLE_BYTES:
            ends = [building.constant(np.asarray(end, np.int32)) for end in (0, 256, 1)]
            words, column = building.add("Range", ends), powers[:, None].astype(np.int32)
            digits = _remainders(building, words, column, 2)
            bits = building.add("Cast", [digits], to=TensorProto.UINT8)
            index = building.add("Cast", [building.constant(packed_M)], to=TensorProto.INT32)
            return building.add("Gather", [building.add("Transpose", [bits]), index])
        digits = self.digits(building, packed_M[:, None], powers, 2)
        return building.add("Cast", [digits], to=TensorProto.UINT8)

    def first_nodes(self, building: Building, first_ML: NDArray[np.uint8]) -> str:
        """Multiply bytes by powers of two, 2^7 at most."""
        plane = self.plane(building, first_ML)
        building.temporaries += first_ML.size + 4 * len(first_ML)
        if first_ML.shape[1] == 1:
            return building.add("Cast", [plane], to=TensorProto.INT32)
        rows = building.reshape(plane, first_ML.shape)
        powers_L1 = (1 << np.arange(first_ML.shape[1])[::-1, None]).astype(np.uint8)
        return building.add("MatMulInteger", [rows, building.constant(powers_L1)])

    def levels(
        self,
        building: Building,
        nodes: str,
        bounds: Sequence[int],
        planes: Sequence[NDArray[np.uint8]],
    ) -> str:
        """Call the function of a level."""
        zero = building.constant(np.asarray(0, np.int32)) if planes else ""
        for bound, plane in zip(bounds, planes, strict=True):
            bits = self.plane(building, plane)
            last = building.constant(np.asarray(bound - 1, np.int32))
            nodes = building.add(_LEVEL, [nodes, last, bits, zero], domain=DOMAIN)
            building.functions[_LEVEL] = level_function()
        return nodes

    def places(self, building: Building, nodes: str) -> str:
        """Return the nodes themselves."""
        return nodes

    def kept(self, building: Building, plane: str) -> str:
        """Count in int32."""
        bits = building.add("Cast", [plane], to=TensorProto.INT32)
        places = building.add("CumSum", [bits, building.constant(np.asarray(0))])
        return building.add("Mul", [bits, places])

    def as_float(self, building: Building, integers: str, size: int) -> str:
        """Cast them."""
        return building.add("Cast", [integers], to=TensorProto.FLOAT)


INTEGERS = IntegerSpelling()


def level_function() -> FunctionProto:
    """Return one level of a prefix code: ``u + max(0, u - B + bit)`` (see ``prefix.Code.planes``).

    Its inputs are the nodes ``u``, ``B - 1``, the inverted bits of the level and an int32 0.
    """
    nodes = [
        helper.make_node("Sub", ["u", "b"], ["d"]),
        helper.make_node("Max", ["d", "z"], ["r"]),
        helper.make_node("Sign", ["r"], ["s"]),
        helper.make_node("CumSum", ["s", "z"], ["c"]),
        helper.make_node("Gather", ["p", "c"], ["g"]),
        helper.make_node("Cast", ["g"], ["i"], to=TensorProto.INT32),
        helper.make_node("Sub", ["r", "i"], ["m"]),
        helper.make_node("Max", ["m", "z"], ["n"]),
        helper.make_node("Add", ["u", "n"], ["v"]),
    ]
    return helper.make_function(
        DOMAIN, _LEVEL, ["u", "b", "p", "z"], ["v"], nodes, [helper.make_opsetid("", _OPSET)]
    )


def _remainders(building: Building, words: str, powers: NDArray[np.integer[Any]], base: int) -> str:
    quotients = building.add("Div", [words, building.constant(powers)])
    return building.add("Mod", [quotients, building.constant(np.asarray(base, powers.dtype))])
