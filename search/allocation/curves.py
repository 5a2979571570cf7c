"""Monotone curves through the probes of a profile: what fewer bits or channels would do.

A probe is noisy, and a network with fewer bits or channels is taken to be no better: the damages
are fitted by isotonic regression (pool adjacent violators; Barlow et al., Statistical Inference
under Order Restrictions, 1972). Between the probes of bits the logarithm is linear, and beyond them
every bit counts a factor of four, as the power of a uniform grid's error does; between ratios the
damage itself is linear, from no damage at ratio 0, and beyond the last one its last slope goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compress.sensitivity.document import BitsPoint, RatioPoint

_PER_BIT = math.log(4.0)
_LEAST = 1e-12
"""A damage of nothing, where its logarithm is needed."""


def isotonic(values: Sequence[float]) -> list[float]:
    """The nearest values, in squares, that never fall."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean, size = (before * number + mean * size) / (number + size), number + size
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


def of_bits(points: Sequence[BitsPoint], bits: int) -> float:
    """The damage of so many bits; ``points`` are at least one, in any order."""
    ordered = sorted(points, key=lambda point: -point.bits)
    damages = isotonic([point.damage for point in ordered])
    logs = [math.log(max(damage, _LEAST)) for damage in damages]
    fewer = [float(-point.bits) for point in ordered]
    return math.exp(_between(fewer, logs, float(-bits), before=_PER_BIT, after=_PER_BIT))


def coded(points: Sequence[BitsPoint], bits: int) -> float:
    """Bits per weight in a file, for weights of so many bits; 0 to ``bits``.

    Between probes it is linear, and beyond them a bit more is one more in the file: halving the
    step of a grid adds one bit to the entropy (Gish and Pierce, Asymptotically efficient
    quantizing, 1968). Where no probe says, the width itself.
    """
    ordered = sorted(points, key=lambda point: point.bits)
    known = [(float(p.bits), p.coded) for p in ordered if p.coded is not None]
    if not known:
        return float(bits)
    widths, taken = zip(*known, strict=True)
    found = _between(widths, isotonic(taken), float(bits), before=1.0, after=1.0)
    return min(max(found, 0.0), float(bits))


def of_ratio(points: Sequence[RatioPoint], ratio: float) -> float:
    """The damage of losing this share of the channels; ``points`` are at least one."""
    ordered = sorted(points, key=lambda point: point.ratio)
    ratios = [0.0, *(point.ratio for point in ordered)]
    damages = isotonic([0.0, *(point.damage for point in ordered)])
    slope = (damages[-1] - damages[-2]) / (ratios[-1] - ratios[-2])
    return _between(ratios, damages, ratio, before=0.0, after=slope)


def _between(
    xs: Sequence[float], ys: Sequence[float], x: float, *, before: float, after: float
) -> float:
    """Linear between the points, with these slopes outside of them; ``xs`` increase."""
    if x <= xs[0]:
        return ys[0] + before * (x - xs[0])
    for left, right in zip(range(len(xs)), range(1, len(xs)), strict=False):
        if x <= xs[right]:
            share = (x - xs[left]) / (xs[right] - xs[left])
            return ys[left] + share * (ys[right] - ys[left])
    return ys[-1] + after * (x - xs[-1])
