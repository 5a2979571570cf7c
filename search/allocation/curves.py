"""Monotone curves through the probes of a profile: the damage of fewer bits or channels.

Probes are noisy, and a network with fewer bits or channels is assumed to be no better. So the
damages are fitted by isotonic regression (pool adjacent violators; Barlow et al., Statistical
Inference under Order Restrictions, 1972). Between the probes of bits the logarithm is linear, and
beyond them each bit is worth a factor of four, like the power of a uniform grid's error. Between
ratios the damage itself is linear, from no damage at ratio 0, and beyond the last probe the last
slope goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compress.sensitivity.document import BitsPoint, RatioPoint

_PER_BIT = math.log(4.0)
_LEAST = 1e-12
"""Stands for no damage, so that it has a logarithm."""


def isotonic(values: Sequence[float]) -> list[float]:
    """Return the non-decreasing values that are nearest to these in least squares."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean, size = (before * number + mean * size) / (number + size), number + size
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


def of_bits(points: Sequence[BitsPoint], bits: int) -> float:
    """Return the damage of ``bits`` bits; there is at least one of ``points``, in any order."""
    ordered = sorted(points, key=lambda point: -point.bits)
    damages = isotonic([point.damage for point in ordered])
    logs = [math.log(max(damage, _LEAST)) for damage in damages]
    fewer = [float(-point.bits) for point in ordered]
    return math.exp(_between(fewer, logs, float(-bits), before=_PER_BIT, after=_PER_BIT))


def coded(points: Sequence[BitsPoint], bits: int) -> float:
    """Return the bits that a weight of ``bits`` bits takes in a file, from 0 to ``bits``.

    The curve is linear between probes. Beyond them each further bit takes one more bit in the file,
    because halving the step of a grid adds one bit to the entropy (Gish and Pierce, Asymptotically
    efficient quantizing, 1968). Without probes it is the width itself.
    """
    ordered = sorted(points, key=lambda point: point.bits)
    known = [(float(p.bits), p.coded) for p in ordered if p.coded is not None]
    if not known:
        return float(bits)
    widths, taken = zip(*known, strict=True)
    found = _between(widths, isotonic(taken), float(bits), before=1.0, after=1.0)
    return min(max(found, 0.0), float(bits))


def of_ratio(points: Sequence[RatioPoint], ratio: float) -> float:
    """Return the damage of losing this share of the channels; there is at least one point."""
    ordered = sorted(points, key=lambda point: point.ratio)
    ratios = [0.0, *(point.ratio for point in ordered)]
    damages = isotonic([0.0, *(point.damage for point in ordered)])
    slope = (damages[-1] - damages[-2]) / (ratios[-1] - ratios[-2])
    return _between(ratios, damages, ratio, before=0.0, after=slope)


def _between(
    xs: Sequence[float], ys: Sequence[float], x: float, *, before: float, after: float
) -> float:
    """Interpolate linearly, with these slopes outside of the points; ``xs`` increase."""
    if x <= xs[0]:
        return ys[0] + before * (x - xs[0])
    for left, right in zip(range(len(xs)), range(1, len(xs)), strict=False):
        if x <= xs[right]:
            share = (x - xs[left]) / (xs[right] - xs[left])
            return ys[left] + share * (ys[right] - ys[left])
    return ys[-1] + after * (x - xs[-1])
