"""A Gaussian process over blocks of coordinates, which learns one number.

The kernel is ``a exp(-sum_b w_b |phi_b(p) - phi_b(q)|^2)`` plus noise; ``samplers.parameters``
defines the blocks ``phi``. The weights ``w``, the amplitude ``a`` and the noise maximise the
marginal likelihood times log-normal priors (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, equations 5.8 and 5.9; 2.25 and 2.26 for the prediction). A block without an effect
gets a small weight, so a known cost is added as one more block and used if it helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = Sequence[Array]
"""The coordinates ``(N, dims)`` of the same points in each block."""
MOST_POINTS = 400
"""Most points behind a prediction, whose cost grows with their square."""
_MOST_FITTED = 150
"""Most points to which weights are fitted; the cost grows with their cube."""
_ROUNDS = 20
_WEIGHT, _WEIGHT_SPREAD = 0.5, 1.0
_NOISE, _NOISE_SPREAD = 1e-2, 1.5
_AMPLITUDE_SPREAD = 1.0
_JITTER = 1e-8
_AT_ONCE = 2_000
"""Points that are predicted together, so that intermediate results stay in the caches."""
_LEAST_VARIANCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """Predicts a mean and a standard deviation in the target's unit; made by ``fit``."""

    weights: Array
    amplitude: float
    noise: float
    mean: float
    scale: float
    points: Array
    targets: Array
    factor: Array
    solution: Array

    def predict(self, blocks: Blocks) -> tuple[Array, Array]:
        """Return mean and standard deviation ``(N,)`` of the noise-free value at N points."""
        points = _weighted(blocks, self.weights)
        # Single precision for what grows with the candidates; the factor was found in double.
        factor, solution = self.factor.astype(np.float32), self.solution.astype(np.float32)
        parts = [
            self._predict(points[first : first + _AT_ONCE], factor, solution)
            for first in range(0, len(points), _AT_ONCE)
        ]
        mean, variance = np.concatenate(parts, axis=1).astype(float)
        deviation = np.sqrt(np.maximum(variance, _LEAST_VARIANCE))
        return mean * self.scale + self.mean, deviation * self.scale

    def _predict(
        self, points: Array, factor: NDArray[np.float32], solution: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Means and variances, ``(2, points)``, in units of ``scale``."""
        from scipy.linalg import solve_triangular

        kernel = _exponents(points, self.points).astype(np.float32)
        np.exp(kernel, out=kernel)
        kernel *= np.float32(self.amplitude)
        half = solve_triangular(factor, kernel.T, lower=True, check_finite=False)
        explained = np.einsum("nm,nm->m", half, half)
        return np.stack([kernel @ solution, np.float32(self.amplitude) - explained])

    def log_likelihood(self) -> float:
        """The log-likelihood of the targets in their unit, up to a constant (equation 5.8)."""
        explained = -0.5 * self.targets @ self.solution - np.log(np.diag(self.factor)).sum()
        return float(explained) - len(self.targets) * float(np.log(self.scale))

    def believing(self, blocks: Blocks) -> Surrogate:
        """Return the same after these points turned out as predicted (kriging believer).

        Ginsbourger, Le Riche and Carraro, Kriging is well-suited to parallelize optimization, 2010,
        section 3.2. Means stay the same; only the uncertainty around the points decreases.
        """
        if len(blocks[0]) == 0:
            return self
        believed = (self.predict(blocks)[0] - self.mean) / self.scale
        points = np.concatenate([self.points, _weighted(blocks, self.weights)])
        return self.given(points, np.concatenate([self.targets, believed]))

    def given(self, points: Array, targets: Array) -> Surrogate:
        """Keep the weights; replace the weighted points and the targets, in units of ``scale``."""
        from scipy.linalg import cho_solve

        covariance = self.amplitude * np.exp(_exponents(points, points))
        covariance[np.diag_indices(len(points))] += self.noise + _JITTER
        factor = np.linalg.cholesky(covariance)
        solution = cho_solve((factor, True), targets)
        return replace(self, points=points, targets=targets, factor=factor, solution=solution)


def fit(blocks: Blocks, targets: Array) -> Surrogate:
    """Learn finite ``targets`` ``(N,)`` at N >= 1 points, from all of them."""
    mean, scale = float(targets.mean()), float(targets.std())
    scale = scale if scale > 1e-12 * max(1.0, abs(mean)) else 1.0
    standard = (targets - mean) / scale
    chosen = _spread(standard, _MOST_FITTED)
    logs = _fitted([block[chosen] for block in blocks], standard[chosen])
    start = Surrogate(
        weights=np.exp(logs[:-2]),
        amplitude=float(np.exp(logs[-2])),
        noise=float(np.exp(logs[-1])),
        mean=mean,
        scale=scale,
        points=np.empty((0, 0)),
        targets=np.empty(0),
        factor=np.empty((0, 0)),
        solution=np.empty(0),
    )
    return start.given(_weighted(blocks, start.weights), standard)


def _fitted(blocks: Blocks, targets: Array) -> Array:
    """Return the logarithms of the weights, of the amplitude and of the noise."""
    from scipy.optimize import minimize

    squares = np.stack([-_exponents(block, block).reshape(-1) for block in blocks])
    centre = np.log([*([_WEIGHT] * len(blocks)), 1.0, _NOISE])
    spread = np.array([*([_WEIGHT_SPREAD] * len(blocks)), _AMPLITUDE_SPREAD, _NOISE_SPREAD])
    found = minimize(
        loss,
        centre,
        args=(squares, targets, centre, spread),
        jac=True,
        method="L-BFGS-B",
        bounds=[(middle - 6, middle + 6) for middle in centre],
        options={"maxiter": _ROUNDS},
    )
    return np.asarray(found.x, dtype=float)


def loss(
    logs: Array, squares: Array, targets: Array, centre: Array, spread: Array
) -> tuple[float, Array]:
    """Return the negative logarithm of likelihood times prior, and its gradient."""
    from scipy.linalg import cho_solve

    size = len(targets)
    weights, amplitude, noise = np.exp(logs[:-2]), np.exp(logs[-2]), np.exp(logs[-1])
    kernel = amplitude * np.exp(-(weights @ squares)).reshape(size, size)
    covariance = kernel.copy()
    covariance[np.diag_indices(size)] += noise + _JITTER
    factor = np.linalg.cholesky(covariance)
    inverse = cho_solve((factor, True), np.eye(size))
    solution = inverse @ targets
    off = (logs - centre) / spread
    loss = 0.5 * targets @ solution + np.log(np.diag(factor)).sum() + 0.5 * off @ off
    slope = 0.5 * (inverse - np.outer(solution, solution))
    by_kernel = (slope * kernel).reshape(-1)
    gradient = [*(-weights * (squares @ by_kernel)), by_kernel.sum(), noise * np.trace(slope)]
    return float(loss), np.array(gradient) + off / spread


def _weighted(blocks: Blocks, weights: Array) -> Array:
    """Join all coordinates; distances between the results are the kernel's exponents."""
    parts = zip(weights, blocks, strict=True)
    return np.concatenate([np.sqrt(weight) * block for weight, block in parts], axis=1)


def _exponents(one: Array, other: Array) -> Array:
    """Return negated squared distances between rows of two arrays, by one matrix product."""
    root, tails = np.sqrt(2), ((one**2).sum(axis=1), (other**2).sum(axis=1))
    left = np.column_stack([root * one, -tails[0], np.ones(len(one))])
    right = np.column_stack([root * other, np.ones(len(other)), -tails[1]])
    found = left @ right.T
    return np.minimum(found, 0.0, out=found)


def _spread(targets: Array, most: int) -> NDArray[np.intp]:
    """Limit the points: half of them are the lowest, the others are taken evenly."""
    order = np.argsort(targets, kind="stable")
    if len(order) <= most:
        return np.sort(order)
    lowest, rest = order[: most // 2], np.sort(order[most // 2 :])
    evenly = rest[np.linspace(0, len(rest) - 1, most - len(lowest)).astype(int)]
    return np.sort(np.concatenate([lowest, evenly]))
