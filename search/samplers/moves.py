"""Random points, and steps from one point to another, all in codes (see ``parameters``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.samplers.parameters import Codes, Parameter

_CHILDREN = 40
"""Number of changed copies of each parent, and of values of a number that are considered."""
_STEP = 0.1
"""Standard deviation of a small step of a number, as a share of its range."""


def uniform(knob: Parameter, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw codes of uniform values, on a logarithmic scale if the knob has one."""
    if math.isfinite(knob.size):
        return knob.codes[random.integers(int(knob.size), size=count)]
    return random.random(count)


def points(knobs: Sequence[Parameter], count: int, random: np.random.Generator) -> Codes:
    """Draw ``count`` uniform points."""
    return np.stack([uniform(knob, count, random) for knob in knobs], axis=1)


def children(knobs: Sequence[Parameter], parents: Codes, random: np.random.Generator) -> Codes:
    """Make forty changed copies of each parent.

    Each changes one knob, and half of them a second one. A number changes by a small step as often
    as to any value. Knobs that a parent lacks get a value.
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
    """Give the point a random value for each knob that it lacks."""
    return np.where(np.isnan(point), points(knobs, 1, random)[0], point)


def others(knob: Parameter, code: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return other codes of a knob: all choices, or values close to a number's and anywhere."""
    if knob.choices is not None:
        return knob.codes[knob.codes != code]
    near = np.clip(code + _STEP * random.standard_normal(_CHILDREN), 0.0, 1.0)
    found = np.concatenate([knob.snapped(near), uniform(knob, _CHILDREN, random)])
    return found[np.abs(found - code) > 1e-9]


def neighbours(knobs: Sequence[Parameter], point: Codes, random: np.random.Generator) -> Codes:
    """Return all points that differ from this one in one knob; only some if that is a number."""
    found = []
    for column, knob in enumerate(knobs):
        codes = others(knob, point[column], random)
        copies = np.repeat(point[None, :], len(codes), axis=0)
        copies[:, column] = codes
        found.append(copies)
    return np.concatenate(found)


def keys(codes: Codes) -> list[bytes]:
    """Return a key for each point, equal for equal points."""
    return [row.tobytes() for row in rounded(codes)]


def rounded(codes: Codes) -> Codes:
    """Make codes comparable by their bytes: without binary noise, one zero, and -1 for absent."""
    clean = np.round(codes, 9) + 0.0
    return np.ascontiguousarray(np.where(np.isnan(clean), -1.0, clean))
