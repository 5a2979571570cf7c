"""Wilson's score interval of a share (Wilson, JASA 22, 1927). Torch-free.

An accuracy is a share of counted images, so its uncertainty is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DEVIATIONS = 1.96
"""Standard deviations that 95 % of a normal distribution lie within: a 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceInterval:
    """The range of an accuracy, 0 to 1, up to chance."""

    low: float
    high: float


def interval(share: float, images: int, *, deviations: float = DEVIATIONS) -> ConfidenceInterval:
    """Return Wilson's interval of a share, 0 to 1, of so many images.

    With ``p`` the share, ``n`` the images and ``z`` the deviations:
    ``(p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2/n)``. Raises ValueError without
    images, or for a number that is not a share.
    """
    if images < 1 or not 0 <= share <= 1:
        raise ValueError(f"expected a share of 0 to 1 of at least 1 image, got {share} of {images}")
    z2 = deviations**2
    middle = (share + z2 / (2 * images)) / (1 + z2 / images)
    spread = share * (1 - share) / images + z2 / (4 * images**2)
    half = deviations * math.sqrt(spread) / (1 + z2 / images)
    return ConfidenceInterval(low=max(0.0, middle - half), high=min(1.0, middle + half))
