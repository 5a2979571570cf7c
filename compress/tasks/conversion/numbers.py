"""Numbers as people have them, as a dataset keeps them: uint8 or float32. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from compress.tasks.formats import npz
from compress.values.errors import InvalidData

Kept: TypeAlias = Literal["uint8", "float32"]
EXACT = 2**24
"""Whole numbers up to here are all told apart by float32."""
"""Up to here float32 tells whole numbers apart."""
_BYTE = 255


def dtype(
    archive: npz.Archive, headers: Sequence[npz.ArrayHeader], *, what: str
) -> tuple[Kept, tuple[str, ...]]:
    """Return the type that the arrays of all splits are kept in, and notes of a conversion.

    ``what`` they are is for messages. Raises InvalidData for what is no number, and for whole
    numbers that float32 cannot tell apart.
    """
    kinds = {header.dtype.kind for header in headers}
    given = " and ".join(sorted({header.dtype.newbyteorder("=").name for header in headers}))
    if kinds & set("SU"):
        raise InvalidData(f"{what} must be numbers, got {given}")
    if "f" in kinds:
        return "float32", () if given == "float32" else (f"{what} are {given}: kept as float32",)
    low, high = _range(archive, headers, what)
    if low >= 0 and high <= _BYTE:
        return "uint8", () if given == "uint8" else (f"{what} are {given} up to {high}: as uint8",)
    if max(-low, high) > EXACT:
        raise InvalidData(
            f"{what} hold whole numbers from {low} to {high}, which float32 cannot tell apart: "
            "divide them by a constant"
        )
    return "float32", (f"{what} are {given} from {low} to {high}: kept as float32",)


def needs_range(headers: Sequence[npz.ArrayHeader]) -> bool:
    """Whether the type in which arrays are kept depends on their values."""
    kinds = {header.dtype.kind for header in headers}
    return "f" not in kinds and any(header.dtype != np.uint8 for header in headers)


def _range(archive: npz.Archive, headers: Sequence[npz.ArrayHeader], what: str) -> tuple[int, int]:
    if not needs_range(headers):
        return 0, _BYTE
    lows, highs = [], []
    for header in headers:
        for chunk in archive.chunks(header.name):
            lows.append(int(chunk.min()))
            highs.append(int(chunk.max()))
    if not lows:
        raise InvalidData(f"{headers[0].name} has no {what}: shape {headers[0].shape}")
    return min(lows), max(highs)
