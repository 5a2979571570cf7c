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
_SMALLEST = np.finfo(np.float32).tiny


def quantize_weight(
    weight_OI: NDArray[np.float32],
    bits: int,
    *,
    smallest_scale_O: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers ``q`` in ``[-(2^(b-1) - 1), 2^(b-1) - 1]`` and a scale per output channel.

    Weights inside the clipping range keep ``|w - s q| <= s / 2``. A channel of zeros has scale 1.
    ``smallest_scale_O`` bounds the scales from below. Raises NumericalError for NaN and infinity.
    """
    flat_OI = weight_OI.reshape(len(weight_OI), -1).astype(np.float32)
    if not np.isfinite(flat_OI).all():
        raise NumericalError("a weight is NaN or infinite")
    scale_O = best_scale(flat_OI, bits)
    if smallest_scale_O is not None:
        scale_O = np.maximum(scale_O, smallest_scale_O.astype(np.float32))
    q_OI = _round(flat_OI, scale_O, bits).astype(np.int8)
    return q_OI.reshape(weight_OI.shape), scale_O


def best_scale(weight_OI: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The scale per channel of least squared error among 61 clipping values, from 25 % to all."""
    largest_O = np.abs(weight_OI).max(axis=1) / top(bits)
    best_O = np.where(largest_O > 0, np.maximum(largest_O, _SMALLEST), 1.0).astype(np.float32)
    full_O = best_O.copy()
    least_O = np.full(len(weight_OI), np.inf, np.float32)
    for clip in _CLIPS:
        scale_O = np.maximum(full_O * clip, _SMALLEST)
        error_OI = weight_OI - _round(weight_OI, scale_O, bits) * scale_O[:, None]
        error_O = np.einsum("oi,oi->o", error_OI, error_OI)
        best_O = np.where(error_O < least_O, scale_O, best_O)
        least_O = np.minimum(error_O, least_O)
    return best_O


def rounding_error(
    weight_OI: NDArray[np.float32], q_OI: NDArray[np.int8], scale_O: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``w - s q``, in the shape of the weight."""
    scale_O1 = scale_O.reshape(-1, *[1] * (weight_OI.ndim - 1))
    return (weight_OI - q_OI * scale_O1).astype(np.float32)


def mean_shift(error_OI: NDArray[np.float32], mean_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """What rounding takes away from every output channel on average: ``sum_i (w - s q)_i E[x_i]``.

    Added to the bias it cancels the mean error of the layer (Nagel et al., arXiv:1906.04721,
    section 4.2, with ``E[x]`` measured instead of derived from BatchNorm). ``mean_C`` is the mean
    of every input channel; a grouped convolution sees ``I`` of them per output channel. Exact away
    from the zero padding at the border.
    """
    error_OI = error_OI.reshape(*error_OI.shape[:2], -1).sum(axis=2, dtype=np.float64)
    groups = len(mean_C) // error_OI.shape[1]
    mean_GI = mean_C.reshape(groups, -1)
    return (error_OI * np.repeat(mean_GI, len(error_OI) // groups, axis=0)).sum(axis=1)


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
