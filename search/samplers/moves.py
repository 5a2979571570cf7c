"""Random points, and steps from one point to another. Everything is in codes (see ``knobs``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.samplers.parameters import Codes, Parameter

_CHILDREN = 40
"""Changed copies of each parent, and values of a number that are looked at."""
_STEP = 0.1
"""Deviation of a small step of a number, as a share of its range."""


def uniform(knob: Parameter, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Codes of uniform values, on the logarithm if the knob says so."""
    if math.isfinite(knob.size):
        return knob.codes[random.integers(int(knob.size), size=count)]
    return random.random(count)


def points(knobs: Sequence[Parameter], count: int, random: np.random.Generator) -> Codes:
    """So many uniform points."""
    return np.stack([uniform(knob, count, random) for knob in knobs], axis=1)


def children(knobs: Sequence[Parameter], parents: Codes, random: np.random.Generator) -> Codes:
    """Forty changed copies of each parent.

    Each changes one knob, half of them a second one; a number as often by a small step as to any
    value. Knobs that a parent lacks get a value.
    """
    made = np.repeat(parents, _CHILDREN, axis=0)
    changed = random.integers(len(knobs), size=(len(made), 2))
    changed[random.random(len(made)) < 0.5, 1] = -1
    for column, knob in enumerate(knobs):
        missing = np.isnan(made[:, column])
        rows = np.flatnonzero((changed == column).any(axis=1) | missing)
        anew = uniform(knob, len(rows), random)
        if knob.choices is None:
            step = made[rows, column] + _STEP * random.standard_normal(len(rows))
            small = (random.random(len(rows)) < 0.5) & ~missing[rows]
            anew = np.where(small, knob.snapped(np.clip(step, 0.0, 1.0)), anew)
        made[rows, column] = anew
    return made


def filled(knobs: Sequence[Parameter], point: Codes, random: np.random.Generator) -> Codes:
    """The point with a random value for each knob that it lacks."""
    return np.where(np.isnan(point), points(knobs, 1, random)[0], point)


def others(knob: Parameter, code: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Other codes of a knob: all choices, or values near a number's and anywhere."""
    if knob.choices is not None:
        return knob.codes[knob.codes != code]
    near = np.clip(code + _STEP * random.standard_normal(_CHILDREN), 0.0, 1.0)
    found = np.concatenate([knob.snapped(near), uniform(knob, _CHILDREN, random)])
    return found[np.abs(found - code) > 1e-9]


def neighbours(knobs: Sequence[Parameter], point: Codes, random: np.random.Generator) -> Codes:
    """Every point that differs from this one in one knob; some, where that is a number."""
    found = []
    for column, knob in enumerate(knobs):
        codes = others(knob, point[column], random)
        copies = np.repeat(point[None, :], len(codes), axis=0)
        copies[:, column] = codes
        found.append(copies)
    return np.concatenate(found)


def keys(codes: Codes) -> list[bytes]:
    """One per point, equal for equal points."""
    return [row.tobytes() for row in rounded(codes)]


def rounded(codes: Codes) -> Codes:
    """Codes that compare by their bytes: no binary noise, one zero, and -1 for absent."""
    clean = np.round(codes, 9) + 0.0
    return np.ascontiguousarray(np.where(np.isnan(clean), -1.0, clean))
