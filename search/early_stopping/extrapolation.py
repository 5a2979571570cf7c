"""Predict the accuracy of a trial at the last rung from its own rungs and its finished peers.

The logarithm of the error at the last rung is regressed on the logarithms of the errors at the
rungs that are known: Bayesian linear regression (Bishop, Pattern Recognition and Machine Learning,
2006, section 3.3) with a prior that says "the last error is a constant share of the present one".
With few finished peers the prior dominates and every trial gains alike, so the order stays as it
is; with more of them the shape of a curve matters. The peers that finished are the better ones, so
the forecast is that of a trial that was allowed to climb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_FINISHED = 3
"""Nothing is predicted with fewer finished peers."""
_LEAST_ERROR = 1e-4
_PRIOR_VARIANCE = 0.25
"""Prior variance of the weights of standardised log errors: slopes above 1 are unlikely."""
_LEAST_NOISE = 0.05
"""Standard deviation of the last log error that seeds alone cause."""


@dataclass(frozen=True, kw_only=True)
class CurveForecast:
    """A regression of the last log error on the first log errors of a curve."""

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    gain: float
    weights: NDArray[np.float64]
    covariance: NDArray[np.float64]
    noise: float

    def optimistic(self, curve: Sequence[float]) -> float:
        """Return the accuracy one standard deviation above the mean; at least the present one."""
        errors = _log_errors([curve])[0]
        features = (errors - self.centre) / self.spread
        expected = errors[-1] + self.gain + float(features @ self.weights)
        deviation = np.sqrt(self.noise**2 + float(features @ self.covariance @ features))
        return max(float(curve[-1]), 1.0 - float(np.exp(expected - deviation)))


def fit(finished: Sequence[Sequence[float]], *, known: int) -> CurveForecast | None:
    """Fit a forecast for curves of which the first ``known`` rungs are known.

    Args:
        finished: Accuracies at every rung, of peers that reached the last one.
        known: How many rungs the curves to be forecast have; fewer than the finished ones.

    Returns:
        The forecast, or None if fewer than three peers have finished.
    """
    if len(finished) < FEWEST_FINISHED:
        return None
    errors = _log_errors(finished)
    seen = errors[:, :known]
    gains = errors[:, -1] - seen[:, -1]
    centre, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), _LEAST_NOISE)
    features, gain = (seen - centre) / spread, float(gains.mean())
    noise = max(float(gains.std()), _LEAST_NOISE)
    weights, covariance = _posterior(features, gains - gain, noise)
    # Once more with the noise that is left: nobody knows it beforehand.
    rest = gains - gain - features @ weights
    noise = max(float(np.sqrt(np.mean(rest**2))), _LEAST_NOISE)
    weights, covariance = _posterior(features, gains - gain, noise)
    return CurveForecast(
        centre=centre,
        spread=spread,
        gain=gain,
        weights=weights,
        covariance=covariance,
        noise=noise,
    )


def _posterior(
    features: NDArray[np.float64], targets: NDArray[np.float64], noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of the weights (Bishop, equations 3.53 and 3.54)."""
    prior = np.eye(features.shape[1]) / _PRIOR_VARIANCE
    covariance = np.linalg.inv(prior + features.T @ features / noise**2).astype(np.float64)
    return covariance @ features.T @ targets / noise**2, covariance


def expected(curves: Sequence[Sequence[float]], *, num_rungs: int) -> list[float | None]:
    """Return the accuracy that each curve may reach at the last rung, or has reached there.

    All are None if too few curves have finished. The order of the curves does not matter.
    """
    finished = sorted(tuple(curve) for curve in curves if len(curve) == num_rungs)
    forecasts = {known: fit(finished, known=known) for known in range(1, num_rungs)}
    if not all(forecasts.values()):
        return [None] * len(curves)
    return [_expected(curve, forecasts) for curve in curves]


def _expected(curve: Sequence[float], forecasts: dict[int, CurveForecast | None]) -> float:
    forecast = forecasts.get(len(curve))
    return float(curve[-1]) if forecast is None else forecast.optimistic(curve)


def _log_errors(curves: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.log(np.maximum(1.0 - np.asarray(curves, dtype=float), _LEAST_ERROR))
