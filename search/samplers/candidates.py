"""The points among which the next one is chosen: a whole space, or a sample of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.samplers import moves
from search.samplers.history import History
from search.samplers.parameters import Codes, Parameter
from search.space.points import ABSENT, Points

MOST_ENUMERATED = 40_000
"""Spaces with at most this many points are enumerated."""
_DRAWN = 1_000


@dataclass(frozen=True, kw_only=True)
class Absence:
    """A knob that is absent if another knob has one of these codes."""

    knob: int
    decider: int
    codes: frozenset[float]


@dataclass(frozen=True, kw_only=True)
class CandidatePool:
    """Distinct candidates. ``full`` has a code for every knob; ``codes`` has NaN for absent ones.

    ``keys`` are those of ``codes`` (``moves.keys``).
    """

    knobs: Sequence[Parameter]
    full: Codes
    codes: Codes
    keys: Sequence[bytes]

    def params(self, index: int) -> dict[str, Any]:
        """Return a value for every knob of one candidate."""
        pairs = zip(self.knobs, self.full[index], strict=True)
        return {knob.name: knob.value(code) for knob, code in pairs}

    def present(self) -> Points:
        """Return the values of every candidate, without absent knobs."""
        pairs = zip(self.knobs, self.codes.T, strict=True)
        columns = {knob.name: partial(_column, knob, codes) for knob, codes in pairs}
        return Points(len(self.codes), columns)

    def untried(self, tried: Codes) -> NDArray[np.intp]:
        """Return the indices of the candidates that were not tried."""
        known = set(moves.keys(tried))
        return np.flatnonzero(np.array([key not in known for key in self.keys], dtype=bool))

    def and_also(self, other: CandidatePool) -> CandidatePool:
        """Return the candidates of both pools."""
        return replace(
            self,
            full=np.concatenate([self.full, other.full]),
            codes=np.concatenate([self.codes, other.codes]),
            keys=[*self.keys, *other.keys],
        )

    def at(self, indices: NDArray[np.intp]) -> CandidatePool:
        """Return some of the candidates."""
        keys = [self.keys[index] for index in indices]
        return replace(self, full=self.full[indices], codes=self.codes[indices], keys=keys)


def absences(past: History, knobs: Sequence[Parameter]) -> list[Absence]:
    """Infer from the trials which knob's value decides whether another one is present.

    A decider has finitely many values, is always present, and none of its values was seen both with
    and without the other knob. A knob without a decider is assumed to be present.
    """
    codes = np.concatenate([past.told, past.running])
    missing = np.isnan(codes)
    always = [
        i for i, knob in enumerate(knobs) if math.isfinite(knob.size) and not missing[:, i].any()
    ]
    sometimes = np.flatnonzero(missing.any(axis=0)).tolist()
    found = (_decided(codes, column, always) for column in sometimes)
    return [absence for absence in found if absence is not None]


def every(knobs: Sequence[Parameter], rules: Sequence[Absence]) -> CandidatePool | None:
    """Return every point of a space, or None if there are more than ``MOST_ENUMERATED``."""
    if math.prod(knob.size for knob in knobs) > MOST_ENUMERATED:
        return None
    axes = np.meshgrid(*[knob.codes for knob in knobs], indexing="ij")
    return pool(knobs, np.stack([axis.reshape(-1) for axis in axes], axis=1), rules)


def drawn(
    knobs: Sequence[Parameter],
    rules: Sequence[Absence],
    parents: Codes,
    random: np.random.Generator,
) -> CandidatePool:
    """Draw uniform points, and changed copies of the parents."""
    uniform = moves.points(knobs, _DRAWN, random)
    return pool(knobs, np.concatenate([uniform, moves.children(knobs, parents, random)]), rules)


def pool(knobs: Sequence[Parameter], full: Codes, rules: Sequence[Absence]) -> CandidatePool:
    """Make a pool of the distinct ones of some points."""
    codes = full.copy()
    for rule in rules:
        codes[np.isin(full[:, rule.decider], list(rule.codes)), rule.knob] = np.nan
    first: dict[bytes, int] = {}
    for index, key in enumerate(moves.keys(codes)):
        first.setdefault(key, index)
    kept = np.array(list(first.values()), dtype=np.intp)
    return CandidatePool(knobs=knobs, full=full[kept], codes=codes[kept], keys=list(first))


def _decided(codes: Codes, column: int, always: Sequence[int]) -> Absence | None:
    missing = np.isnan(codes[:, column])
    for decider in always:
        without = frozenset(codes[missing, decider].tolist())
        if without.isdisjoint(codes[~missing, decider].tolist()):
            return Absence(knob=column, decider=decider, codes=without)
    return None


def _column(knob: Parameter, codes: NDArray[np.float64]) -> list[Any]:
    """Decode a column of codes; each distinct value is computed once."""
    distinct, place = np.unique(codes, return_inverse=True)
    values = [ABSENT if math.isnan(code) else knob.value(code) for code in distinct.tolist()]
    return [values[index] for index in place.tolist()]
