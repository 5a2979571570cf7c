"""A knob of Optuna as a number, and as coordinates whose distances are meaningful.

A point is a row of codes, one per knob: the index of a choice, the place of a number between its
ends as 0 to 1 (on the logarithm if the knob says so), NaN where the knob is absent.

The kernel is ``exp(-sum_b w_b |phi_b(p) - phi_b(q)|^2)``, so the blocks of coordinates ``phi``
define what a knob means. A one-hot code divided by the root of 2 makes the square of the distance 1
for two choices that differ (overlap kernel: Ru et al., CoCaBO, arXiv:1906.08878; with a weight per
knob as in Wan et al., CASMOPOLITAN, arXiv:2102.07188). A thermometer code, whose coordinate ``t``
tells whether the value is above the ``t``-th, makes it the distance itself: an exponential kernel
for ordered values without a smooth effect. A plain coordinate makes it the square, that is the
squared-exponential kernel. An absent knob lies halfway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Codes = NDArray[np.float64]
"""An array of codes, with points in rows and knobs in columns."""
_MOST_STEPS = 32
"""A number with more values than this is treated as smooth."""
_REACH = 2.0
"""Length of a numeric knob: with weight 1 the correlation of its ends is exp(-4)."""
_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One knob, which converts values to codes and back."""

    name: str
    distribution: BaseDistribution

    @cached_property
    def choices(self) -> tuple[Any, ...] | None:
        """The choices of a categorical knob; None for a number."""
        found = self.distribution
        return found.choices if isinstance(found, CategoricalDistribution) else None

    @cached_property
    def size(self) -> float:
        """The number of values; infinite for a real range."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return len(choices)
            case IntDistribution(low=low, high=high, step=step):
                return (high - low) // step + 1
            case FloatDistribution(low=low, high=high, step=float(step)):
                return round((high - low) / step) + 1
            case _:
                return math.inf

    def code(self, value: Any) -> float:
        """Return the code of a value; NaN for a choice that the knob does not have."""
        if self.choices is not None:
            return next(
                (float(i) for i, c in enumerate(self.choices) if _is_same(c, value)), math.nan
            )
        return float(np.clip(self._place(float(value)), 0.0, 1.0))

    def value(self, code: float) -> Any:
        """Return the value of a code, on the knob's grid."""
        if self.choices is not None:
            return self.choices[int(code)]
        number = self._number(code)
        return int(number) if isinstance(self.distribution, IntDistribution) else number

    @cached_property
    def codes(self) -> NDArray[np.float64]:
        """Return the codes of all values of a knob with finitely many, in ascending order."""
        if self.choices is not None:
            return np.arange(len(self.choices), dtype=float)
        low, step = self._range.low, self._range.step or 0.0
        values = [low + step * index for index in range(int(self.size))]
        return np.array([self.code(value) for value in values])

    def snapped(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move codes to the nearest that belong to a value."""
        if not math.isfinite(self.size):
            return codes
        known = self.codes
        after = np.clip(np.searchsorted(known, codes), 1, max(1, len(known) - 1))
        lower, upper = known[after - 1], known[np.minimum(after, len(known) - 1)]
        return np.where(codes - lower <= upper - codes, lower, upper)

    def blocks(self, codes: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the coordinates of codes, ``(N, dims)`` for each block with its own weight."""
        if self.choices is None:
            steps = [self._thermometer(codes, self.codes)] if self.size <= _MOST_STEPS else []
            return [self._line(codes), *steps]
        matches = (codes[:, None] == self.codes) / math.sqrt(2)
        order = _order(self.choices)
        if order is None:
            return [matches]
        absent = np.isnan(codes)
        places = np.where(absent, np.nan, order[np.where(absent, 0, codes).astype(int)])
        return [matches, self._thermometer(places, np.sort(order))]

    def _line(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        absent = np.isnan(codes)
        return np.stack([_REACH * np.where(absent, _HALF, codes), 1.0 * absent], axis=1)

    def _thermometer(
        self, codes: NDArray[np.float64], known: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        above = np.where(np.isnan(codes)[:, None], _HALF, codes[:, None] > known[:-1] + 1e-9)
        return above / math.sqrt(max(1, len(known) - 1))

    def _place(self, value: float) -> float:
        low, high = self._range.low, self._range.high
        if high <= low:
            return 0.0
        if self._range.log:
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)

    def _number(self, code: float) -> float:
        low, high, step = self._range.low, self._range.high, self._range.step
        number = low * (high / low) ** code if self._range.log else low + code * (high - low)
        if step is not None:
            number = low + step * round((number - low) / step)
        return float(min(max(number, low), high))

    @property
    def _range(self) -> IntDistribution | FloatDistribution:
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return self.distribution


def _is_same(choice: Any, value: Any) -> bool:
    return type(choice) is type(value) and choice == value


def _order(choices: Sequence[Any]) -> NDArray[np.float64] | None:
    """The rank of each choice if they are three or more different numbers, else None."""
    if len(set(choices)) < 3 or not all(type(choice) in (int, float) for choice in choices):
        return None
    return np.argsort(np.argsort(np.array(choices, dtype=float), kind="stable")).astype(float)
