"""The integer grids of static quantization, in plain numpy.

Weights lie on a symmetric grid ``w ~ s q`` with one scale per output channel; activations on an
affine one, ``x ~ s (q - z)`` with 8 bits (Jacob et al., arXiv:1712.05877, equation 1).

The scale of a channel minimises the squared error ``sum_i (w_i - s q_i)^2``. Banner et al.
(arXiv:1810.05723, section 2) derive the best clipping value from a Laplace or Gaussian prior; a
channel here has as few as nine weights, for which no prior holds, so the minimum is taken over a
grid of clipping values instead. That costs one rounding pass over the weights per value.

Legend: O output channels, I weights per output channel, any further dimensions count as I.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import NumericalError

ACTIVATION_LEVELS = 255
_CLIPS = np.linspace(1.0, 0.25, 61, dtype=np.float32)
# With three levels the best step of a bell curve lies at two fifths of its largest weight or less.
_FEW_LEVELS_CLIPS = np.linspace(1.0, 0.1, 73, dtype=np.float32)
_FEW_LEVELS_BITS = 3
_SMALLEST = np.finfo(np.float32).tiny


def best_scale(weight_OI: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The scale per channel of least squared error among ``clips``."""
    largest_O = np.abs(weight_OI).max(axis=1) / top(bits)
    best_O = np.where(largest_O > 0, np.maximum(largest_O, _SMALLEST), 1.0).astype(np.float32)
    full_O = best_O.copy()
    least_O = np.full(len(weight_OI), np.inf, np.float32)
    for clip in clips(bits):
        scale_O = np.maximum(full_O * clip, _SMALLEST)
        error_OI = weight_OI - _round(weight_OI, scale_O, bits) * scale_O[:, None]
        error_O = np.einsum("oi,oi->o", error_OI, error_OI)
        best_O = np.where(error_O < least_O, scale_O, best_O)
        least_O = np.minimum(error_O, least_O)
    return best_O


def clips(bits: int) -> NDArray[np.float32]:
    """Shares of a channel's range to try: 61 from 25 % to all; from 10 % up to three bits."""
    return _FEW_LEVELS_CLIPS if bits <= _FEW_LEVELS_BITS else _CLIPS


def top(bits: int) -> int:
    """The largest integer of the symmetric grid: 127 for 8 bits, 7 for 4."""
    return 2 ** (bits - 1) - 1


def affine_parameters(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of the 8-bit grid that covers ``[low, high]`` and zero.

    Zero is exact on the grid, because padding and Relu put zeros there. An empty range (only
    zeros) has scale 1. Raises NumericalError unless both ends are finite.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NumericalError(f"an activation range is not finite: [{low}, {high}]")
    bottom, ceiling = min(float(low), 0.0), max(float(high), 0.0)
    if bottom == ceiling:
        return np.float32(1.0), np.uint8(0)
    scale = np.float32(max((ceiling - bottom) / ACTIVATION_LEVELS, float(_SMALLEST)))
    zero_point = np.clip(np.rint(-bottom / float(scale)), 0, ACTIVATION_LEVELS)
    return scale, np.uint8(zero_point)


def _round(
    weight_OI: NDArray[np.float32], scale_O: NDArray[np.float32], bits: int
) -> NDArray[np.float32]:
    return np.clip(np.rint(weight_OI / scale_O[:, None]), -top(bits), top(bits))
