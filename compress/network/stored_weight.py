"""The weights that a technique hands over to be stored: integers with scales, or sparse floats.

Legend: O output channels, I inputs per output channel (any kernel dimensions follow), G groups of
consecutive inputs, row-major, in one output channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from compress.values.errors import NumericalError

TOP = 127
_TOP_OF_7 = 63
SHORT_BITS = 8


@dataclass(frozen=True, kw_only=True)
class StoredWeight:
    """A weight on an integer grid: ``value = scale * integers``.

    ``integers_OI`` is int8 in ``[-127, 127]`` and has the weight's own shape: ``(O, I, kh, kw)`` of
    a convolution, ``(O, I)`` of a linear layer. ``scale`` is float32 and finite: ``()`` or ``(1,)``
    for the whole tensor, ``(O,)`` for each output channel, ``(O, G)`` for each group of
    ``I * kh * kw / G`` consecutive inputs. A zero point is in the integers already: on an affine
    grid they are codes minus zero points, and prefix codes need no codes that start at zero.

    Raises ValueError for another type or shape and NumericalError for a scale that is not finite.
    """

    integers_OI: NDArray[np.int8]
    scale: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the parts. Raises what the class says."""
        if self.integers_OI.dtype != np.int8 or self.integers_OI.ndim < 2:
            raise ValueError(
                f"integers must be int8 of shape (O, I, ...), not {self.integers_OI.dtype} of "
                f"shape {self.integers_OI.shape}"
            )
        if self.integers_OI.size == 0:
            raise ValueError(f"a weight of shape {self.integers_OI.shape} holds nothing")
        if self.integers_OI.min() < -TOP:
            raise ValueError("integers must lie in [-127, 127]: -128 has no opposite")
        self._check_scale()

    @property
    def groups(self) -> int:
        """The number of scales per output channel; 0 for one scale in all."""
        if self.scale.size == 1 and self.scale.ndim < 2:
            return 0
        return 1 if self.scale.ndim == 1 else self.scale.shape[1]

    def values(self) -> NDArray[np.float32]:
        """Return the float32 weights, exactly as a file decodes them."""
        floats_OI = self.integers_OI.astype(np.float32)
        if self.groups == 0:
            return floats_OI * self.scale.reshape(())
        grouped = floats_OI.reshape(len(floats_OI), self.groups, -1)
        scale_OG1 = self.scale.reshape(len(floats_OI), self.groups, 1)
        return (grouped * scale_OG1).reshape(floats_OI.shape)

    def _check_scale(self) -> None:
        if self.scale.dtype != np.float32:
            raise ValueError(f"scales must be float32, not {self.scale.dtype}")
        if not np.isfinite(self.scale).all():
            raise NumericalError("a scale is NaN or infinite")
        channels, inputs = len(self.integers_OI), prod(self.integers_OI.shape[1:])
        per_channel = self.scale.shape == (channels,)
        per_group = (
            self.scale.ndim == 2
            and self.scale.shape[0] == channels
            and self.scale.shape[1] > 0
            and inputs % self.scale.shape[1] == 0
        )
        if self.scale.shape not in {(), (1,)} and not per_channel and not per_group:
            raise ValueError(
                f"scales of shape {self.scale.shape} do not fit {channels} output channels of "
                f"{inputs} weights"
            )

    def coarser(self, least_O: NDArray[np.float32]) -> StoredWeight:
        """Return the nearest weight whose scales, one per channel, are at least ``least_O``."""
        shape = (-1, *[1] * (self.integers_OI.ndim - 1))
        old_O = np.broadcast_to(self.scale, least_O.shape)
        new_O = np.maximum(old_O, least_O).astype(np.float32)
        integers_OI = np.rint(self.integers_OI * (old_O / new_O).reshape(shape))
        return StoredWeight(integers_OI=integers_OI.astype(np.int8), scale=new_O)


@dataclass(frozen=True, kw_only=True)
class SparseFloat:
    """A float32 weight with many exact zeros, in the weight's own shape.

    Raises ValueError for another type or shape and NumericalError for NaN or infinity.
    """

    values_OI: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the values. Raises what the class says."""
        if self.values_OI.dtype != np.float32 or self.values_OI.ndim < 2:
            raise ValueError(
                f"weights must be float32 of shape (O, I, ...), not {self.values_OI.dtype} of "
                f"shape {self.values_OI.shape}"
            )
        if self.values_OI.size == 0:
            raise ValueError(f"a weight of shape {self.values_OI.shape} holds nothing")
        if not np.isfinite(self.values_OI).all():
            raise NumericalError("a weight is NaN or infinite")

    def values(self) -> NDArray[np.float32]:
        """Return the weights."""
        return self.values_OI


@dataclass(frozen=True, kw_only=True)
class HalfFloat(SparseFloat):
    """A weight that is stored as float16, with or without zeros.

    Its values are those of float16 once the factors of its channels are folded in
    (``compress.network.folding``): until then they are such values divided by the factors.
    """


def shortened(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest scales of 8 significant bits.

    An integer of an activation (8 bits) times one of a weight (4 bits) times such a scale takes 20
    of the 24 bits that float32 has: 16 of the largest products add up exactly, and hundreds of the
    usual ones. The products of 8-bit weights take all 24, so now and then a sum is rounded.
    """
    fraction, exponent = np.frexp(scale)
    return np.ldexp(np.rint(fraction * 2**SHORT_BITS) / 2**SHORT_BITS, exponent).astype(np.float32)


def halved(values: NDArray[np.floating[Any]], *, what: str, way_out: str) -> NDArray[np.float32]:
    """Return the nearest float16 values. Raises NumericalError beyond 65,504, its largest."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float16).astype(np.float32)
    is_beyond = np.isinf(rounded) & np.isfinite(values)
    if is_beyond.any():
        largest = float(np.abs(values[is_beyond]).max())
        raise NumericalError(
            f"{what} is {largest:g} and does not fit 16 bits, which end at 65,504: {way_out}"
        )
    return rounded


def is_half(values: NDArray[np.float32]) -> bool:
    """Whether float16 holds exactly these values."""
    with np.errstate(over="ignore", under="ignore"):
        return bool((values.astype(np.float16).astype(np.float32) == values).all())


def exactly(weight_OI: NDArray[np.float32]) -> StoredWeight | None:
    """Return the weight as integers if that is exact: zeros and one magnitude; else None.

    A shortcut that only copies channels is such a weight, and need not be stored as floats.
    """
    magnitudes = np.unique(np.abs(weight_OI[weight_OI != 0]))
    if len(magnitudes) != 1:
        return None
    return StoredWeight(integers_OI=np.sign(weight_OI).astype(np.int8), scale=magnitudes[0])


def takes_eight_bits(stored: object) -> TypeGuard[StoredWeight]:
    """Whether a weight has integers beyond 7 bits: two of their products may overflow 16 bits."""
    return isinstance(stored, StoredWeight) and int(np.abs(stored.integers_OI).max()) > _TOP_OF_7


def halved_integers(stored: StoredWeight) -> StoredWeight:
    """Return the weight on a grid twice as coarse, whose integers lie in [-63, 63]."""
    halves_OI = np.clip(np.rint(stored.integers_OI / 2), -_TOP_OF_7, _TOP_OF_7)
    return replace(stored, integers_OI=halves_OI.astype(np.int8), scale=stored.scale * 2)
