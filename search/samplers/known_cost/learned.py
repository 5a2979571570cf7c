"""Learn an objective that must be measured: a trend over known costs, and the rest of it.

Accuracy follows what a candidate costs. A line over the known costs explains most of it, and holds
further from the trials than a surrogate, whose mean returns to the average (universal kriging;
Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 2.7). The line is
fitted to the better half, because the front is what matters. If the logarithm of the distance to
just below the best is explained better, it is learned instead of the value: values close to the
best differ little, and those far from it differ much (Snelson, Rasmussen and Ghahramani, Warped
Gaussian Processes, NIPS 2003).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search.samplers.known_cost import surrogate
from search.samplers.known_cost.improvement import Guess
from search.samplers.known_cost.surrogate import Blocks, Surrogate

Array = NDArray[np.float64]
_DOUBT_OF_SLOPES = 1.0
"""Ridge on a slope: this squared distance along its axis weighs as much as the prior."""

_LEAST_DISTANCE = 1e-9
"""Least distance of the median from the best, in units of the best; less is rounding."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A plane over L axes: ``level + lines @ slopes``."""

    level: float
    slopes: Array

    @classmethod
    def through(cls, lines: Array, targets: Array, slopes: Array) -> Trend:
        """Make the trend with these slopes from which the targets differ by 0 on average."""
        return cls(level=float(np.mean(targets - lines @ slopes)), slopes=slopes)

    def of(self, lines: Array) -> Array:
        """Return its height at N points; ``lines`` is ``(N, L)``."""
        return self.level + lines @ self.slopes


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Logarithms of the distance to ``low``, which lies below every value.

    ``slope`` is the derivative of a value by its logarithm at the median of all values.
    """

    low: float
    slope: float

    @classmethod
    def below(cls, values: Array) -> Logs | None:
        """Place ``low`` as far below the best as the median is above it; None if they are equal."""
        best, middle = float(values.min()), float(np.median(values))
        if middle - best <= _LEAST_DISTANCE * max(1.0, abs(best)):
            return None
        return cls(low=2 * best - middle, slope=2 * (middle - best))

    def of(self, values: Array) -> Array:
        """Return the logarithms of values."""
        return np.log(values - self.low)

    def back(self, guess: Guess) -> Guess:
        """Return values from logarithms; the deviation is that of the median everywhere.

        Deviations that grew with the values would lead away from the front, even if the logarithms
        are explained well.
        """
        assert guess.deviation is not None
        return Guess(mean=self.low + np.exp(guess.mean), deviation=self.slope * guess.deviation)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One learned objective, made by ``from_costs`` or ``from_estimate``."""

    surrogate: Surrogate
    trend: Trend
    logs: Logs | None = None

    def guess(self, blocks: Blocks, lines: Array) -> Guess:
        """Return mean and deviation at N points; ``lines`` ``(N, L)`` are those of the trend."""
        mean, deviation = self.surrogate.predict(blocks)
        found = Guess(mean=mean + self.trend.of(lines), deviation=deviation)
        return found if self.logs is None else self.logs.back(found)

    def believing(self, blocks: Blocks) -> Learned:
        """Return the same after these points turned out as expected."""
        return replace(self, surrogate=self.surrogate.believing(blocks))


def from_costs(values: Array, blocks: Blocks, lines: Array) -> Learned:
    """Learn ``values`` ``(N,)``, as they are or as logarithms; ``lines`` ``(N, L)`` are known."""
    return max(_ways(values, blocks, lines), key=lambda way: way[0])[1]


def from_estimate(values: Array, blocks: Blocks, estimates: Array) -> Learned:
    """Learn logarithms ``(N,)`` that ``estimates`` ``(N, 1)`` guess up to a power.

    The slope is that of least squares with one more point, a decade away, whose slope is 1.
    """
    slopes = _slopes(estimates, values, expected=1.0, doubt=np.log(10.0) ** 2)
    trend = Trend.through(estimates, values, slopes)
    return Learned(surrogate=surrogate.fit(blocks, values - trend.of(estimates)), trend=trend)


def _ways(values: Array, blocks: Blocks, lines: Array) -> Iterator[tuple[float, Learned]]:
    """Yield each way to learn the values, with the log-likelihood that it gives them."""
    plain = _over_lines(values, blocks, lines)
    yield plain.surrogate.log_likelihood(), plain
    logs = Logs.below(values)
    if logs is not None:
        logarithms = logs.of(values)
        found = replace(_over_lines(logarithms, blocks, lines), logs=logs)
        # Densities are compared in the unit of the values: d log(v - low) / dv is 1 / (v - low).
        yield found.surrogate.log_likelihood() - float(logarithms.sum()), found


def _over_lines(targets: Array, blocks: Blocks, lines: Array) -> Learned:
    better = targets <= np.median(targets)
    slopes = _slopes(lines[better], targets[better], expected=0.0, doubt=_DOUBT_OF_SLOPES)
    trend = Trend.through(lines, targets, slopes)
    return Learned(surrogate=surrogate.fit(blocks, targets - trend.of(lines)), trend=trend)


def _slopes(lines: Array, targets: Array, *, expected: float, doubt: float) -> Array:
    """Fit by least squares with a ridge towards the expected slope."""
    x, y = lines - lines.mean(axis=0), targets - targets.mean()
    return np.linalg.solve(x.T @ x + doubt * np.eye(lines.shape[1]), x.T @ y + doubt * expected)
