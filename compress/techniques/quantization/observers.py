"""Which grid fits a weight: its scale and its range of integers, row by row, in plain numpy.

A row holds the weights that share a scale: an output channel, a group of one, or a whole tensor.

======  =======================================  ==================================
bits    symmetric: integers, scale               affine: distances from zero point
======  =======================================  ==================================
1       -1 and 1; the mean magnitude             (not offered)
2       -1, 0, 1 (ternary)                       4 levels around the zero point
b       -(2^(b-1) - 1) .. 2^(b-1) - 1            2^b levels, -z .. 2^b - 1 - z
8       -127 .. 127; reduced: -63 .. 63          (not offered: distances would leave int8)
======  =======================================  ==================================

One bit is XNOR-Net's (Rastegari et al., arXiv:1603.05279, equation 6), with the mean over the
weights that are not exactly zero: those are pruned and stay zero. The affine grid is that of Jacob
et al. (arXiv:1712.05877, equation 1). For the search of least squared error see ``grid``.

Legend: R rows, I weights of a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compress.techniques.quantization import grid
from compress.values.errors import NumericalError


@dataclass(frozen=True, kw_only=True)
class GridRule:
    """The rule by which the grid of a weight is found; ``percentile`` is in percent."""

    bits: int
    scheme: Literal["symmetric", "affine"] = "symmetric"
    observer: Literal["mse", "minmax", "percentile"] = "mse"
    percentile: float = 99.9
    reduced_range: bool = False

    @property
    def largest(self) -> int:
        """The largest integer of the symmetric grid."""
        if self.bits == 1:
            return 1
        return grid.top(7 if self.reduced_range and self.bits == 8 else self.bits)


@dataclass(frozen=True, kw_only=True)
class RowGrid:
    """Per row: a scale and the least and the largest integer, ``low <= 0 <= high``."""

    scale_R: NDArray[np.float32]
    low_R: NDArray[np.float32]
    high_R: NDArray[np.float32]


def fit(weight_RI: NDArray[np.float32], rule: GridRule) -> RowGrid:
    """Fit the grid of every row. A row of zeros has scale 1.

    Raises NumericalError for NaN and infinity.
    """
    if not np.isfinite(weight_RI).all():
        raise NumericalError("a weight is NaN or infinite")
    if rule.scheme == "affine":
        return _affine(weight_RI, rule)
    scale_R = _symmetric_scale(weight_RI, rule)
    high_R = np.full(len(weight_RI), rule.largest, np.float32)
    return RowGrid(scale_R=scale_R, low_R=-high_R, high_R=high_R)


def nearest(weight_RI: NDArray[np.float32], found: RowGrid) -> NDArray[np.float32]:
    """Return the nearest integers of the grid; not for 1 bit, whose grid has no zero."""
    rounded_RI = np.rint(weight_RI / found.scale_R[:, None])
    return np.clip(rounded_RI, found.low_R[:, None], found.high_R[:, None])


def _symmetric_scale(weight_RI: NDArray[np.float32], rule: GridRule) -> NDArray[np.float32]:
    size_RI = np.abs(weight_RI)
    if rule.bits == 1:
        used_R = np.maximum(np.count_nonzero(size_RI, axis=1), 1)
        return grid.usable(size_RI.sum(axis=1, dtype=np.float64) / used_R)
    if rule.observer == "mse":
        return grid.best_scale(weight_RI, 7 if rule.largest == grid.top(7) else rule.bits)
    covered = 100.0 if rule.observer == "minmax" else rule.percentile
    return grid.usable(_covered(size_RI, covered) / rule.largest)


def _affine(weight_RI: NDArray[np.float32], rule: GridRule) -> RowGrid:
    covered = rule.percentile if rule.observer == "percentile" else 100.0
    above_R = _covered(np.maximum(weight_RI, 0), covered)
    below_R = _covered(np.maximum(-weight_RI, 0), covered)
    best = _affine_grid(below_R, above_R, rule.bits)
    if rule.observer != "mse":
        return best
    least_R = _squared_error(weight_RI, best)
    for clip in grid.clips(rule.bits):
        other = _affine_grid(below_R * clip, above_R * clip, rule.bits)
        error_R = _squared_error(weight_RI, other)
        best = _chosen(error_R < least_R, other, best)
        least_R = np.minimum(error_R, least_R)
    return _fitted(weight_RI, best)


def _fitted(weight_RI: NDArray[np.float32], found: RowGrid) -> RowGrid:
    """Return the grid with the best scale for its zero point; short rows also try the next one."""
    if not grid.is_short(weight_RI, found.high_R - found.low_R):
        scale_R = grid.refined(weight_RI, found.low_R, found.high_R, start_R=found.scale_R)
        return replace(found, scale_R=scale_R)
    best, least_R = found, _squared_error(weight_RI, found)
    for step in (0, -1, 1):
        # Zero stays on the grid: it has as many levels as before on either side together.
        moved_R = np.clip(step, -found.high_R, -found.low_R)
        low_R, high_R = found.low_R + moved_R, found.high_R + moved_R
        scale_R = grid.least_error_scale(weight_RI, low_R, high_R)
        other = RowGrid(scale_R=scale_R, low_R=low_R, high_R=high_R)
        error_R = _squared_error(weight_RI, other)
        best = _chosen(error_R < least_R, other, best)
        least_R = np.minimum(error_R, least_R)
    return best


def _affine_grid(below_R: NDArray[np.float32], above_R: NDArray[np.float32], bits: int) -> RowGrid:
    """Return ``2^b`` levels over ``[-below, above]``, one of which is exactly zero."""
    last = 2**bits - 1
    scale_R = grid.usable((below_R + above_R) / last)
    zero_R = np.clip(np.rint(below_R / scale_R), 0, last).astype(np.float32)
    return RowGrid(scale_R=scale_R, low_R=-zero_R, high_R=last - zero_R)


def _squared_error(weight_RI: NDArray[np.float32], found: RowGrid) -> NDArray[np.float32]:
    error_RI = weight_RI - nearest(weight_RI, found) * found.scale_R[:, None]
    return np.einsum("ri,ri->r", error_RI, error_RI)


def _chosen(where_R: NDArray[np.bool_], first: RowGrid, second: RowGrid) -> RowGrid:
    return RowGrid(
        scale_R=np.where(where_R, first.scale_R, second.scale_R),
        low_R=np.where(where_R, first.low_R, second.low_R),
        high_R=np.where(where_R, first.high_R, second.high_R),
    )


def _covered(size_RI: NDArray[np.float32], percent: float) -> NDArray[np.float32]:
    if percent == 100.0:
        return size_RI.max(axis=1)
    return np.percentile(size_RI, percent, axis=1).astype(np.float32)
