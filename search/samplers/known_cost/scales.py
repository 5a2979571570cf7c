"""Values of an objective on the axis that a hypervolume is taken on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LOG_RATIO = 10.0
"""A cost whose values span more than this is compared by ratios."""
_FENCES = 1.5
BEYOND = 0.05
"""How far a reference lies beyond the worst, as a share of the range."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveScale:
    """A known cost as 0 to 1 over the values that the scale was made from.

    It is logarithmic where they span more than a factor of ten.
    """

    is_log: bool
    low: float
    span: float

    @classmethod
    def over(cls, values: Array) -> ObjectiveScale:
        """The scale of minimised values; maximised ones come negated, which is told by the sign."""
        size = np.abs(values)
        is_one_sign = bool((values > 0).all() or (values < 0).all())
        is_log = is_one_sign and size.max() > _LOG_RATIO * size.min()
        plain = _logarithm(values) if is_log else values
        low, high = float(plain.min()), float(plain.max())
        return cls(is_log=is_log, low=low, span=high - low if high > low else 1.0)

    def of(self, values: Array) -> Array:
        """The values on the axis."""
        return ((_logarithm(values) if self.is_log else values) - self.low) / self.span


def fenced(values: Array) -> Array:
    """The values, none above the third quartile by more than 1.5 interquartile ranges.

    How bad a bad trial is says nothing about where the good ones are, and a network that answers at
    random would set the scale of everything that is learned (Tukey, Exploratory Data Analysis,
    1977). Infinite values are moved to the fence.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return np.zeros(len(values))
    first, third = np.quantile(finite, [0.25, 0.75])
    return np.clip(values, finite.min(), min(finite.max(), third + _FENCES * (third - first)))


def _logarithm(values: Array) -> Array:
    return np.sign(values) * np.log(np.abs(values))
