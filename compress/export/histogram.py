"""Activation ranges from histograms: which outliers a grid should not stretch for.

* ``percentile`` covers that share of the values: as much is cut off below as above.
* ``mse`` takes the range of least squared error among those that cut off large magnitudes (the
  criterion of Banner et al., arXiv:1810.05723, equation 5, on what was measured instead of on a
  Laplace or Gaussian density), and lets no image count for more than a tenth of what varies in the
  usual one.

Without that limit the squared error keeps whatever is rare and large: one pixel of 4,000 in 2 % of
the images weighs more than all that 8 bits between 0 and 4,000 do to the other pixels, and in every
later tensor the same. With it such images are given up. Where no image reaches the limit, this is
the squared error as it was.

Bins are narrow in proportion to what they hold, as floats are: as many between 0.5 and 1 as between
2,000 and 4,000. Equal bins between the extremes would hold all usual values in a handful.

Legend: N images, X values of one image, B bins, K ranges to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.techniques.quantization import grid
from compress.values.measurement import Observer

# A float32 without its last 18 bits: 32 bins from one power of two to the next.
_SHIFT = 18
_PER_OCTAVE = 2 ** (23 - _SHIFT)
_OCTAVES = 40
_SIDE = _OCTAVES * _PER_OCTAVE
# Thresholds to try: eight to an octave at first, four from 2^-4 to 2^-30 of the largest magnitude.
_SHARES = 2.0 ** -np.concatenate([np.arange(32) / 8, np.arange(16, 121) / 4])
_MOST_OF_AN_IMAGE = 0.1


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Bins of the values between two ends: ``2 x 1280 + 1``, those of zero in the middle.

    Magnitudes below ``2^-39`` of the largest count as zero.
    """

    low: float
    high: float

    @property
    def number(self) -> int:
        """The number of bins."""
        return 2 * _SIDE + 1

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))

    def count(self, values_NX: NDArray[np.float32]) -> NDArray[np.int64]:
        """Count the values of each image in each bin, ``(N, B)``."""
        upper_NX = np.ascontiguousarray(values_NX, "<f4").view("<u2")[:, 1::2]
        bins_NX = self._bin_of_upper_half[upper_NX]
        bins_NX += np.arange(0, len(values_NX) * self.number, self.number)[:, None]
        counts = np.bincount(bins_NX.ravel(), minlength=len(values_NX) * self.number)
        return counts.reshape(len(values_NX), self.number)

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Return the edges of the bins ``(B + 1,)``, ascending, within the range."""
        codes = np.maximum(np.arange(self._top - _SIDE + 1, self._top + 2), 0)
        starts = (codes << _SHIFT).astype(np.int32)
        sizes = starts.view(np.float32).astype(np.float64)
        return np.clip(np.concatenate([-sizes[::-1], sizes]), self.low, self.high)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Return the value that stands for each bin, ``(B,)``: its middle, and exactly zero."""
        middles_B = (self.edges[:-1] + self.edges[1:]) / 2
        middles_B[_SIDE] = 0
        return middles_B

    @cached_property
    def _bin_of_upper_half(self) -> NDArray[np.int64]:
        """Return the bin of a float32 by its upper 16 bits: sign, exponent, 7 mantissa bits."""
        upper = np.arange(2**16)
        above = np.clip(((upper & 0x7FFF) >> (_SHIFT - 16)) - (self._top - _SIDE), 0, _SIDE)
        return _SIDE + np.where(upper < 2**15, above, -above)

    @property
    def _top(self) -> int:
        return int(np.float32(self.largest).view(np.int32)) >> _SHIFT


@dataclass(kw_only=True)
class RangeStatistics:
    """The statistics of one tensor, batch by batch, from which ``observer`` chooses its range."""

    bins: Bins
    observer: Observer
    percentile: float
    usual: float
    counts_B: NDArray[np.int64] = field(init=False)
    errors_K: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Start with no batch."""
        self.counts_B = np.zeros(self.bins.number, np.int64)
        self.errors_K = np.zeros(len(_SHARES))

    def add(self, values_NX: NDArray[np.float32]) -> None:
        """Count another batch, none of whose values lies outside the bins."""
        counts_NB = self.bins.count(values_NX)
        if self.observer == "percentile":
            self.counts_B += counts_NB.sum(axis=0)
            return
        # By torch, whose threads are counted: those of numpy take longer than the product.
        errors_NK = torch.from_numpy(counts_NB).float() @ self._errors
        most = _MOST_OF_AN_IMAGE * self.usual / self.bins.largest**2
        limited_NK = errors_NK.clamp(max=most)
        self.errors_K += limited_NK.double().sum(dim=0).numpy()

    def range(self) -> tuple[float, float]:
        """Return the range that a grid should cover."""
        if self.observer == "percentile":
            return self._between()
        return self._ranges[int(np.argmin(self.errors_K))]

    @cached_property
    def _ranges(self) -> list[tuple[float, float]]:
        """Return K ranges to choose from; they cut off magnitudes beyond a share of the largest."""
        ends = (float(share) * self.bins.largest for share in _SHARES)
        return [(max(self.bins.low, -end), min(self.bins.high, end)) for end in ends]

    @cached_property
    def _errors(self) -> Tensor:
        """Return errors ``(B, K)`` of each bin's value in each range, over the largest squared."""
        errors = [_squared_error(self.bins.values, *ends) for ends in self._ranges]
        return torch.from_numpy(np.stack(errors, axis=1) / self.bins.largest**2).float()

    def _between(self) -> tuple[float, float]:
        """Return the bins between the two percentiles, in full."""
        cut = (1 - self.percentile / 100) / 2 * self.counts_B.sum()
        below_B = np.cumsum(self.counts_B)
        first = int(np.searchsorted(below_B, cut, side="right"))
        last = int(np.searchsorted(below_B, below_B[-1] - cut, side="left"))
        return float(self.bins.edges[first]), float(self.bins.edges[last + 1])


def varying(values_NX: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the variation of each image: the sum of squared deviations from its mean."""
    deviation_NX = values_NX - values_NX.mean(axis=1, keepdims=True)
    return np.einsum("nx,nx->n", deviation_NX, deviation_NX, dtype=np.float64)


def usual(varying_of_batches: Sequence[NDArray[np.float64]]) -> float:
    """Return the usual image's variation: the median, or the mean if most images are constant."""
    if not varying_of_batches:
        return 0.0
    varying_N = np.concatenate(varying_of_batches)
    return float(np.median(varying_N)) or float(varying_N.mean())


def _squared_error(values_B: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return the expected squared error of a value: cut off beyond the ends, rounded between them.

    Rounding moves a value by ``s^2 / 12`` in the square, or to zero if that is nearer.
    """
    scale, _ = grid.affine_parameters(low, high)
    beyond_B = values_B - np.clip(values_B, low, high)
    return beyond_B**2 + np.minimum(values_B**2, float(scale) ** 2 / 12)
