"""The integer grids of static quantization, in plain numpy.

Weights lie on a symmetric grid ``w ~ s q`` with one scale per output channel; activations on an
affine one, ``x ~ s (q - z)`` with 8 bits (Jacob et al., arXiv:1712.05877, equation 1).

The scale of a channel minimises the squared error ``sum_i (w_i - s q_i)^2``. Banner et al.
(arXiv:1810.05723, section 2) derive the best clipping value from a Laplace or Gaussian prior; a
channel here has as few as nine weights, for which no prior holds. For given integers the best scale
is ``s = <w, q> / <q, q>``, and its error ``<w, w> - <w, q>^2 / <q, q>``. The integers change only
where ``|w_i| / s`` passes a half, so a row of few weights is searched completely: its thresholds
are sorted and the two products follow as running sums. A long row, whose error is smooth in the
scale, takes the best of a list of clipping values and goes on from there with the same formula.

Legend: O output channels, I weights per output channel, any further dimensions count as I.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.values.errors import NumericalError

ACTIVATION_LEVELS = 255
_CLIPS = np.linspace(1.0, 0.25, 61, dtype=np.float32)
# With three levels the best step of a bell curve lies at two fifths of its largest weight or less.
_FEW_LEVELS_CLIPS = np.linspace(1.0, 0.1, 73, dtype=np.float32)
_FEW_LEVELS_BITS = 3
_SMALLEST = np.finfo(np.float32).tiny
# Rows of up to 64 weights at 8 bits, of 1,170 at 4.
_MOST_THRESHOLDS = 8_192
_THRESHOLDS_AT_ONCE = 2**20
_ROUNDS = 5
_NEARLY = 1 - 1e-12
_FEW_TOP = 31
# Scales to search, in units of the one that clips nothing.
_COARSEST, _FINEST = 1.5, 0.92


def best_scale(weight_OI: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return the scale of least squared error per channel; 1 for a channel of zeros.

    It is the best of all scales in rows of few weights, and the best near ``clips`` in others.
    """
    most_O = np.full(len(weight_OI), top(bits), np.float32)
    if is_short(weight_OI, most_O):
        return least_error_scale(weight_OI, -most_O, most_O)
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
    return refined(weight_OI, -most_O, most_O, start_R=best_O)


def is_short(weight_RI: NDArray[np.float32], most_R: NDArray[np.float32]) -> bool:
    """Whether rows have so few thresholds that all of them are searched."""
    return weight_RI.shape[1] * float(most_R.max(initial=0)) <= _MOST_THRESHOLDS


def least_error_scale(
    weight_RI: NDArray[np.float32], low_R: NDArray[np.float32], high_R: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the best scale per row on integers ``low .. high``: none has a smaller squared error.

    Only for rows that are ``is_short``: time and memory grow with their thresholds, of which a
    weight has one per integer of its sign.
    """
    most = int(max(high_R.max(initial=0), -low_R.min(initial=0)))
    rows = max(1, _THRESHOLDS_AT_ONCE // max(1, weight_RI.shape[1] * most))
    parts = [
        _searched(
            weight_RI[first : first + rows],
            low_R[first : first + rows],
            high_R[first : first + rows],
        )
        for first in range(0, len(weight_RI), rows)
    ]
    return usable(np.concatenate(parts))


def refined(
    weight_RI: NDArray[np.float32],
    low_R: NDArray[np.float32],
    high_R: NDArray[np.float32],
    *,
    start_R: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Improve the scale per row by rounds of "best scale for the integers that it gives"."""
    scale_R = start_R
    for _ in range(_ROUNDS):
        integers_RI = np.clip(
            np.rint(weight_RI / scale_R[:, None]), low_R[:, None], high_R[:, None]
        )
        product_R = np.einsum("ri,ri->r", weight_RI, integers_RI)
        square_R = np.einsum("ri,ri->r", integers_RI, integers_RI)
        found_R = product_R / np.maximum(square_R, 1)
        scale_R = np.where(found_R > 0, np.maximum(found_R, _SMALLEST), scale_R)
    return scale_R.astype(np.float32)


def usable(scale_R: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return scales that can be divided by; 1 for a row without any range."""
    return np.where(scale_R > 0, np.maximum(scale_R, _SMALLEST), 1.0).astype(np.float32)


def _searched(
    weight_RI: NDArray[np.float32], low_R: NDArray[np.float32], high_R: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the best scale of every row over all reachable integers; 0 for a row of zeros.

    From a large scale down, integer ``k`` of weight ``i`` is reached at ``s = |w_i| / (k - 1/2)``.
    """
    size_RI = np.abs(weight_RI).astype(np.float64)
    most_RI = np.where(weight_RI > 0, high_R[:, None], -low_R[:, None])
    first_RI, steps = _start(size_RI, most_RI)
    half_RIK = first_RI[:, :, None] + np.arange(steps) + 0.5
    threshold_RIK = np.where(half_RIK < most_RI[:, :, None], size_RI[:, :, None] / half_RIK, 0)
    threshold_RT = threshold_RIK.reshape(len(size_RI), -1)
    order_RT = np.argsort(-threshold_RT, axis=1)
    added_RT = np.take_along_axis(size_RI, order_RT // steps, axis=1)
    # (q + 1)^2 - q^2, with q the integer before.
    squares_RT = 2 * np.take_along_axis(half_RIK.reshape(len(size_RI), -1), order_RT, axis=1)
    product_RT = (size_RI * first_RI).sum(axis=1)[:, None] + np.cumsum(added_RT, axis=1)
    square_RT = (first_RI**2).sum(axis=1)[:, None] + np.cumsum(squares_RT, axis=1)
    gain_RT = product_RT**2 / square_RT
    gain_RT[np.take_along_axis(threshold_RT, order_RT, axis=1) == 0] = 0
    # The largest scale among equals: small integers take fewer bytes.
    best_R = (gain_RT >= gain_RT.max(axis=1, keepdims=True) * _NEARLY).argmax(axis=1)
    scale_RT = product_RT / square_RT
    found_R = scale_RT[np.arange(len(size_RI)), best_R]
    return np.where(gain_RT.any(axis=1), found_R, 0.0)


def _start(
    size_RI: NDArray[np.float64], most_RI: NDArray[np.float32]
) -> tuple[NDArray[np.float64], int]:
    """Return the integers of the largest scale to try, and how many more a weight takes at most.

    With few levels that scale is infinite. With many it is somewhat above the one that clips
    nothing, because far coarser grids are never the best.
    """
    top = int(most_RI.max(initial=1))
    if top <= _FEW_TOP:
        return np.zeros_like(size_RI), top
    covering_R = np.where(most_RI > 0, size_RI / np.maximum(most_RI, 1), 0).max(axis=1)
    scale_R = np.maximum(covering_R * _COARSEST, _SMALLEST)
    first_RI = np.minimum(np.rint(size_RI / scale_R[:, None]), most_RI)
    return first_RI, int(np.ceil(top * (1 / _FINEST - 1 / _COARSEST)))


def clips(bits: int) -> NDArray[np.float32]:
    """Return shares of a channel's range to try: 61 from 25 %, or from 10 % up to three bits."""
    return _FEW_LEVELS_CLIPS if bits <= _FEW_LEVELS_BITS else _CLIPS


def top(bits: int) -> int:
    """Return the largest integer of the symmetric grid: 127 for 8 bits, 7 for 4."""
    return 2 ** (bits - 1) - 1


def affine_parameters(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Return scale and zero point of the 8-bit grid that covers ``[low, high]`` and zero.

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
