"""The limits on raw values of images, in one place. Torch-free.

Files take float32, so what matters is what float32 resolves: a threshold on a spread is a share of
the values' magnitude. Between the two bounds below, normalising neither overflows nor ends in
subnormal numbers, which are kept with fewer bits.
"""

from __future__ import annotations

import math
from typing import Final

LARGEST: Final = 1e30
"""Largest magnitude of a raw value, and of a mean, a deviation or a scale of raw values."""
LEAST_RANGE: Final = 1e-30
"""Least difference of the largest and the smallest value of a channel that is not constant."""
RESOLVED: Final = 2.0**-20
"""A channel is constant where its values differ by less than this share of their magnitude.

That is 8 to 16 of the steps in which float32 counts there: rounding noise, not a picture. Values
of 1,000,000 +- 0.01 are all the same number in float32.
"""
FACTORS: Final = (1e-37, 1e37)
"""What raw values may be multiplied with: normal numbers of float32."""


def is_constant(low: float, high: float) -> bool:
    """Whether float32 resolves too few values between the smallest and the largest one."""
    return high - low < RESOLVED * magnitude(low, high) or low == high


def magnitude(low: float, high: float) -> float:
    """Return the largest absolute value."""
    return max(abs(low), abs(high))


def constant_deviation(low: float, high: float) -> float:
    """Return a constant channel's deviation: 1, or what float32 cannot resolve if that is more."""
    return max(1.0, RESOLVED * magnitude(low, high))


def problem(low: float, high: float) -> str | None:
    """Say what is wrong with a channel that has these values, and the way out; None if it is fine.

    A constant channel is fine.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "holds a NaN or an infinity: replace it"
    largest = magnitude(low, high)
    if largest > LARGEST:
        return (
            f"holds values up to {largest:.4g}, expected at most {LARGEST:g}: divide all values by "
            "a constant"
        )
    if not is_constant(low, high) and high - low < LEAST_RANGE:
        return (
            f"holds values from {low:.4g} to {high:.4g}, which differ by less than "
            f"{LEAST_RANGE:g}: multiply all values by a constant"
        )
    return None
