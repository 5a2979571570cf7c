"""Fit a codebook to a whole layer: integer levels that all channels share, and their scales.

A weight becomes ``scale_o * level_k``. The exporter multiplies every channel by a factor of its own
when it folds BatchNorm, so a scale per channel costs nothing, and the channels' shapes are more
alike than their sizes. Levels and scales are fitted in turn, each the least squares of
``sum_oi h_oi (w_oi / scale_o - level_k(oi))^2`` given the other.

Legend: O output channels, I everything else of a weight, K levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.techniques.weight_sharing import kmeans
from compress.techniques.weight_sharing.kmeans import Floats
from compress.values.errors import NumericalError

TOP = 127
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Ascending whole numbers ``levels_K`` in [-127, 127], and float32 scales, all positive."""

    levels_K: Floats
    scale_O: NDArray[np.float32]


def fit(
    weight_OI: Floats,
    importance_OI: Floats,
    *,
    num_levels: int,
    per_channel: bool,
    keep_zero: bool,
) -> Fit:
    """Fit the levels and scales of a weight ``(O, I)``.

    Without ``per_channel`` all scales are equal. With ``keep_zero`` one level is 0, and exact zeros
    do not count. Raises NumericalError for NaN and infinity.
    """
    if not np.isfinite(weight_OI).all():
        raise NumericalError("a weight is NaN or infinite")
    if keep_zero:
        importance_OI = np.where(weight_OI == 0, 0.0, importance_OI)
    problem = _Problem(weight_OI, importance_OI, per_channel=per_channel)
    scale_O = problem.sizes()
    levels_K = problem.cluster(scale_O, num_levels, keep_zero=keep_zero)
    for _ in range(_ROUNDS - 1):
        scale_O = problem.scales(scale_O, levels_K)
        levels_K = problem.cluster(scale_O, num_levels, keep_zero=keep_zero)
    largest = np.abs(levels_K).max()
    if largest == 0:
        return Fit(levels_K=np.zeros(1), scale_O=scale_O.astype(np.float32))
    whole_K = np.unique(np.rint(levels_K * (TOP / largest)))
    scale_O = problem.scales(scale_O * (largest / TOP), whole_K)
    return Fit(levels_K=whole_K, scale_O=scale_O.astype(np.float32))


class _Problem:
    def __init__(self, weight_OI: Floats, importance_OI: Floats, *, per_channel: bool) -> None:
        self._weight_OI = weight_OI
        self._importance_OI = importance_OI
        self._axes = (1,) if per_channel else (0, 1)

    def sizes(self) -> Floats:
        """Return root mean squares, to which the levels are relative at first."""
        counts_O = self._sum(np.ones_like(self._weight_OI) * (self._importance_OI > 0))
        squares_O = self._sum(np.where(self._importance_OI > 0, self._weight_OI**2, 0.0))
        return np.where(squares_O > 0, np.sqrt(squares_O / np.maximum(counts_O, 1)), 1.0)

    def cluster(self, scale_O: Floats, num_levels: int, *, keep_zero: bool) -> Floats:
        relative_OI = self._weight_OI / scale_O[:, None]
        counted_OI = self._importance_OI > 0
        return kmeans.cluster(
            relative_OI[counted_OI],
            self._importance_OI[counted_OI],
            num_centroids=num_levels,
            keep_zero=keep_zero,
        )

    def scales(self, scale_O: Floats, levels_K: Floats) -> Floats:
        """Return ``sum h w l / sum h l^2`` with the nearest levels at the present scales."""
        level_OI = levels_K[kmeans.nearest(self._weight_OI / scale_O[:, None], levels_K)]
        products_O = self._sum(self._importance_OI * self._weight_OI * level_OI)
        squares_O = self._sum(self._importance_OI * level_OI**2)
        fitted_O = products_O / np.where(squares_O > 0, squares_O, 1.0)
        return np.where(fitted_O > 0, fitted_O, scale_O)

    def _sum(self, value_OI: Floats) -> Floats:
        total = value_OI.sum(axis=self._axes, keepdims=True)
        return np.broadcast_to(total, (len(value_OI), 1))[:, 0]
