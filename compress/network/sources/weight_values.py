"""Whether the values of a weights file are numbers, seen from their bits. Torch-free.

A file of NaN or infinities would be taken in, and every trial of a job would fail on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.network.sources import safetensors_header
from compress.network.sources.safetensors_header import TensorHeader
from compress.values.errors import InvalidWeights

_PIECE_BYTES = 8 * 2**20
_SHOWN = 3
_VARIANCE = ".running_var"


@dataclass(frozen=True)
class _Bits:
    """How a float is written: the bits of its exponent, and its sign."""

    dtype: np.dtype[np.unsignedinteger]
    exponent: int
    sign: int

    def count_not_finite(self, bits_N: NDArray[np.unsignedinteger]) -> int:
        # An exponent of ones alone says NaN or infinity.
        return int(np.count_nonzero((bits_N & self.exponent) == self.exponent))

    def count_negative(self, bits_N: NDArray[np.unsignedinteger]) -> int:
        # Minus zero is zero.
        return int(np.count_nonzero(bits_N > self.sign))


_FLOATS: Mapping[str, _Bits] = {
    "F32": _Bits(np.dtype("<u4"), 0x7F80_0000, 0x8000_0000),
    "F16": _Bits(np.dtype("<u2"), 0x7C00, 0x8000),
    "BF16": _Bits(np.dtype("<u2"), 0x7F80, 0x8000),
}


def check(path: Path, tensors: Mapping[str, TensorHeader]) -> None:
    """Read every weight of the file once.

    Raises InvalidWeights that names the tensors with values that are no finite numbers, or with
    variances below zero, and says how many.
    """
    not_finite, negative = [], []
    for name, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            continue
        wrong, below = _count(path, tensor, is_variance=name.endswith(_VARIANCE))
        if wrong:
            not_finite.append(f"{name[:80]} ({wrong} of {_size(tensor)})")
        if below:
            negative.append(f"{name[:80]} ({below} of {_size(tensor)})")
    if not_finite:
        raise InvalidWeights(
            f"weights that are NaN or infinite: {_some(not_finite)}; training has diverged: upload "
            "a checkpoint from before"
        )
    if negative:
        raise InvalidWeights(f"variances of BatchNorm must not be negative: {_some(negative)}")


def _count(path: Path, tensor: TensorHeader, *, is_variance: bool) -> tuple[int, int]:
    bits = _FLOATS[tensor.dtype]
    wrong = below = 0
    for piece_N in _pieces(path, tensor, bits.dtype):
        wrong += bits.count_not_finite(piece_N)
        below += bits.count_negative(piece_N) if is_variance else 0
    return wrong, below


def _pieces(
    path: Path, tensor: TensorHeader, dtype: np.dtype[np.unsignedinteger]
) -> Iterator[NDArray[np.unsignedinteger]]:
    with path.open("rb") as file:
        file.seek(safetensors_header.data_begin(file) + tensor.begin)
        left = tensor.end - tensor.begin
        while left > 0:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                raise InvalidWeights("the weights file ends within a tensor")
            left -= len(piece)
            yield np.frombuffer(piece, dtype)


def _size(tensor: TensorHeader) -> int:
    return (tensor.end - tensor.begin) // _FLOATS[tensor.dtype].dtype.itemsize


def _some(found: list[str]) -> str:
    shown = ", ".join(found[:_SHOWN])
    return shown if len(found) <= _SHOWN else f"{shown} and {len(found) - _SHOWN} more"
