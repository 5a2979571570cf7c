"""The values of one knob: how many there are, which, and the nearest to a given one."""

from __future__ import annotations

import math
from itertools import islice, product
from typing import Any

import numpy as np

from compress.values.knobs import Scalar
from search.space.knobs import Knob

DIGITS = 10
"""Decimals of a grid value: enough for any sensible step, too few to show rounding errors."""


def last_on_grid(low: float, high: float, step: float) -> float:
    """Return the largest ``low + k * step`` that does not exceed ``high``."""
    return clean(low + math.floor((high - low) / step + 1e-9) * step)


def clean(value: float) -> float:
    """Round away binary noise: 0.3, not 0.30000000000000004."""
    return round(value, DIGITS)


def size(knob: Knob) -> float:
    """Return the number of values of the knob; infinite for a real range."""
    if knob.kind in ("categorical", "fixed"):
        return len(knob.choices)
    low, high = bounds(knob)
    return round((high - low) / knob.step) + 1 if knob.step else math.inf


def bounds(knob: Knob) -> tuple[float, float]:
    """Return the lowest and the highest value of a numeric knob. Raises ValueError for others."""
    if knob.low is None or knob.high is None:
        raise ValueError(f"{knob.name} is not numeric")
    return knob.low, knob.high


def value(knob: Knob, index: int) -> Scalar:
    """Return the value at ``index``, from 0, of a knob with finitely many values."""
    if knob.choices:
        return knob.choices[index]
    found = clean(bounds(knob)[0] + index * (knob.step or 0.0))
    return int(found) if knob.kind == "int" else found


def values(knob: Knob) -> tuple[Scalar, ...]:
    """Return every value of a knob with finitely many."""
    return tuple(value(knob, index) for index in range(int(size(knob))))


def snap(knob: Knob, wish: Any) -> Scalar:
    """Return the knob's value nearest to ``wish``; among words the equal one, or the first."""
    if knob.choices:
        return min(knob.choices, key=lambda choice: _distance(choice, wish))
    low, high = bounds(knob)
    inside = min(max(float(wish), low), high)
    return value(knob, round((inside - low) / knob.step)) if knob.step else inside


def draw(knob: Knob, random: np.random.Generator) -> Scalar:
    """Draw a value uniformly, on a logarithmic scale if the knob has one."""
    if math.isfinite(size(knob)):
        return value(knob, int(random.integers(int(size(knob)))))
    low, high = bounds(knob)
    if knob.log:
        return float(np.clip(np.exp(random.uniform(np.log(low), np.log(high))), low, high))
    return float(random.uniform(low, high))


def combinations(knobs: tuple[Knob, ...], *, limit: int) -> list[tuple[Scalar, ...]] | None:
    """Return every combination of the knobs' values, or None if there are more than ``limit``."""
    if math.prod(size(knob) for knob in knobs) > limit:
        return None
    return list(islice(product(*(values(knob) for knob in knobs)), limit))


def _distance(choice: Scalar, wish: Any) -> float:
    if choice == wish and type(choice) is type(wish):
        return -1.0
    if isinstance(choice, str) or isinstance(wish, str):
        return math.inf
    return abs(float(choice) - float(wish))
