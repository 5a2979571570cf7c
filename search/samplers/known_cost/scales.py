"""The values of an objective on an axis of the hypervolume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LOG_RATIO = 10.0
"""A cost whose values span a larger ratio is put on a logarithmic axis."""
_FENCES = 1.5
BEYOND = 0.05
"""Distance of the reference beyond the worst value, as a share of the range."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveScale:
    """Maps a known cost to 0..1 over the values that the scale was made from.

    It is logarithmic if they span more than a factor of ten.
    """

    is_log: bool
    low: float
    span: float

    @classmethod
    def over(cls, values: Array) -> ObjectiveScale:
        """Make the scale of minimised values; negative ones are negated maximised values."""
        size = np.abs(values)
        is_one_sign = bool((values > 0).all() or (values < 0).all())
        is_log = is_one_sign and size.max() > _LOG_RATIO * size.min()
        plain = _logarithm(values) if is_log else values
        low, high = float(plain.min()), float(plain.max())
        return cls(is_log=is_log, low=low, span=high - low if high > low else 1.0)

    def of(self, values: Array) -> Array:
        """Return the values on the axis."""
        return ((_logarithm(values) if self.is_log else values) - self.low) / self.span


def fenced(values: Array) -> Array:
    """Limit the values to 1.5 interquartile ranges above the third quartile.

    It does not matter how bad a bad trial is, and a network that answers at random would otherwise
    set the scale of everything that is learned (Tukey, Exploratory Data Analysis, 1977). Infinite
    values are moved to this fence.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return np.zeros(len(values))
    first, third = np.quantile(finite, [0.25, 0.75])
    return np.clip(values, finite.min(), min(finite.max(), third + _FENCES * (third - first)))


def _logarithm(values: Array) -> Array:
    return np.sign(values) * np.log(np.abs(values))
