"""How decoders are written: which operators and element types compute with constants.

A form decides what a file holds, a spelling how it is decoded: with the integers of ONNX Runtime,
or with float32, in which all runtimes agree. Every number is an integer that the type holds.

Legend: M words or symbols, K digits of a word, L bits of a symbol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.export.weight_encoding.building import Building

PRICE = 2**-14
"""Bytes of file that a byte of memory is worth while a file is loaded: one for every 16 KiB."""


class Spelling(ABC):
    """One way to write decoders.

    Attributes:
        words: The types that hold digits.
        has_int4: Whether files hold INT4.
        says_axis: Whether a Split of several axes says which one, though it is the first.
        most_counted: Symbols that are counted exactly; with more there is no code and no mask.
        plane_bytes: Bytes that unpacking holds for every bit of ``Building.bits``.
        most_levels: Levels that a code may have behind the bits that all of its words have.
        level_bytes: What one more level of a code adds to a file.
        level_temporaries: Bytes that a level computes for every symbol.
        count_temporaries: Bytes that ``kept`` computes for every bit.
    """

    words: tuple[type[np.integer[Any]], ...]
    has_int4: bool
    says_axis: bool
    most_counted: float
    plane_bytes: int
    most_levels: float
    level_bytes: int
    level_temporaries: int
    count_temporaries: int

    def plane(self, building: Building, bits_N: NDArray[np.generic]) -> str:
        """Add a tensor of bits, stored with all others of the file."""
        building.temporaries += self.plane_bytes * bits_N.size
        return building.plane(bits_N)

    @abstractmethod
    def digits(
        self,
        building: Building,
        words_M1: NDArray[np.integer[Any]],
        powers_K: NDArray[np.integer[Any]],
        base: int,
    ) -> str:
        """Return ``words / powers mod base`` as places, ``(M, K)``."""

    @abstractmethod
    def bits(self, building: Building, packed_M: NDArray[np.uint8]) -> str:
        """Return the bits of every byte, the lowest first, ``(M, 8)``, in the type of planes."""

    @abstractmethod
    def first_nodes(self, building: Building, first_ML: NDArray[np.uint8]) -> str:
        """Return the number that the first bits of every symbol are: ``(M,)`` or ``(M, 1)``."""

    @abstractmethod
    def levels(
        self,
        building: Building,
        nodes: str,
        bounds: Sequence[int],
        planes: Sequence[NDArray[np.uint8]],
    ) -> str:
        """Return the last nodes, ``u <- u + max(0, u - B + bit)`` for every bound and plane.

        Planes hold ``1 - bit``, behind a 0 that symbols before the first long one read in vain: the
        bit of a symbol is found by counting the symbols up to it that reach this level.
        """

    @abstractmethod
    def places(self, building: Building, nodes: str) -> str:
        """Return nodes as places for a Gather."""

    @abstractmethod
    def kept(self, building: Building, plane: str) -> str:
        """Return the number of ones up to every one of the plane, as places; 0 for a zero."""

    @abstractmethod
    def as_float(self, building: Building, integers: str, size: int) -> str:
        """Return the int8 values of ``size`` weights as float32, one copy of which is counted."""
