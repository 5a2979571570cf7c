"""Activation ranges from histograms: which outliers a grid should not stretch for.

* ``percentile`` covers that share of the values: as much is cut off below as above.
* ``mse`` takes the range of least squared error among those that shrink the seen one towards zero
  (the criterion of Banner et al., arXiv:1810.05723, equation 5, on what was measured instead of on
  a Laplace or Gaussian density).

Legend: B bins.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compress.techniques.quantization import grid

BINS = 2048
Observer = Literal["minmax", "mse", "percentile"]
_SHARES = np.linspace(1.0, 0.25, 61)


def count(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """How many values, none of them outside ``[low, high]``, fall into each of the equal bins."""
    if low == high:
        return np.bincount([0], [values.size], minlength=BINS).astype(np.int64)
    return np.histogram(values, bins=BINS, range=(low, high))[0]


def clipped(
    counts_B: NDArray[np.int64], low: float, high: float, *, observer: Observer, percentile: float
) -> tuple[float, float]:
    """The range that a grid should cover of values seen in ``[low, high]``."""
    if observer == "minmax" or low == high:
        return low, high
    if observer == "percentile":
        return _between(counts_B, low, high, percent=percentile)
    centres_B = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    ranges = [(low * share, high * share) for share in _SHARES]
    errors = [_squared_error(centres_B, counts_B, *ends) for ends in ranges]
    return ranges[int(np.argmin(errors))]


def _between(
    counts_B: NDArray[np.int64], low: float, high: float, *, percent: float
) -> tuple[float, float]:
    """The bins between the two percentiles, in full."""
    cut = (1 - percent / 100) / 2 * counts_B.sum()
    below_B = np.cumsum(counts_B)
    first = int(np.searchsorted(below_B, cut, side="right"))
    last = int(np.searchsorted(below_B, below_B[-1] - cut, side="left"))
    width = (high - low) / len(counts_B)
    return low + first * width, low + (last + 1) * width


def _squared_error(
    centres_B: NDArray[np.float64], counts_B: NDArray[np.int64], low: float, high: float
) -> float:
    scale, zero_point = grid.affine_parameters(low, high)
    codes_B = np.rint(centres_B / float(scale)) + int(zero_point)
    back_B = (np.clip(codes_B, 0, grid.ACTIVATION_LEVELS) - int(zero_point)) * float(scale)
    return float((counts_B * (centres_B - back_B) ** 2).sum())
