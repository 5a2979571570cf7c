"""Learn from trials with little training: make the measurements of all rungs comparable.

A trial that was stopped has the accuracy of a low rung. If that counted as the accuracy of a
trained network, its neighbourhood would look bad. So the sampler learns from the measurements of
all rungs, with the amount of training as one more coordinate (Kandasamy et al., Bayesian
optimisation with continuous approximations, ICML 2017; Swersky, Snoek and Adams, arXiv:1406.3896),
and judges candidates as if they were trained to the end. The median gain from training is removed
first, so that the surrogate only has to learn which candidates gain more than others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from search.samplers.history import History

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RungEvidence:
    """N measurements of told trials.

    ``trial`` is the row of each among the told trials. ``trained`` is its amount of training, from
    0 to 1 for the most that any trial had. ``values`` and ``violations`` are minimised.
    """

    trial: NDArray[np.intp]
    trained: Array
    values: Array
    violations: Mapping[str, Array]


def has_rungs(history: History) -> bool:
    """True if some measurements had more training than others."""
    return len(np.unique(_logs(history.epochs, history.lower.epochs))) > 1


def evidence(history: History, chosen: NDArray[np.intp], *, most: int) -> RungEvidence:
    """Collect the last measurements of the chosen trials, then those of lower rungs up to a limit.

    Args:
        history: The study.
        chosen: Rows of told trials, at most ``most``.
        most: The largest number of measurements.
    """
    lower = history.lower
    rows = np.flatnonzero(np.isin(lower.trial, chosen))
    rows = rows[np.argsort(-lower.epochs[rows], kind="stable")][: most - len(chosen)]
    trained = _logs(history.epochs, lower.epochs)
    last, before = np.split(trained, [len(history.epochs)])
    return RungEvidence(
        trial=np.concatenate([chosen, lower.trial[rows]]),
        trained=np.concatenate([last[chosen], before[rows]]),
        values=np.concatenate([history.values[chosen], lower.values[rows]]),
        violations={
            key: np.concatenate([amounts[chosen], _of_lower(history, key)[rows]])
            for key, amounts in history.violations.items()
        },
    )


def lifted(seen: RungEvidence, values: Array) -> Array:
    """Add to each value the gain that further training has brought other trials.

    From one level of training to the next the gain is the median difference between the two
    measurements of a trial, over the trials that have both; it is 0 if none has. It is a median,
    because a network that was worth nothing before its training gains more than all others. It is
    also limited to the median share of the way to the best value: a trial that is nearly there
    gains little, however much weak trials gained.
    """
    levels, place = np.unique(seen.trained, return_inverse=True)
    finite = np.flatnonzero(np.isfinite(values))
    if len(levels) == 1 or len(finite) == 0:
        return values
    distance = values[finite] - values[finite].min()
    table = np.full((int(seen.trial.max()) + 1, len(levels)), np.nan)
    table[seen.trial[finite], place[finite]] = distance
    steps = [_step(before, after) for before, after in pairwise(table.T)]
    gains, left = (np.array(column) for column in zip(*steps, strict=True))
    to_come = np.append(np.cumsum(gains[::-1])[::-1], 0.0)[place[finite]]
    share = np.append(np.cumprod(left[::-1])[::-1], 1.0)[place[finite]]
    found = values.copy()
    found[finite] -= np.minimum(to_come, (1.0 - share) * distance)
    return found


def _step(before: Array, after: Array) -> tuple[float, float]:
    """The median gain of a level, and the median share of the distance that it leaves."""
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return 0.0, 1.0
    start, end = np.median(before[both]), np.median(after[both])
    gain = np.median(before[both] - after[both])
    return float(gain), float(end / start) if start > 0 else 1.0


def _logs(last: Array, lower: Array) -> Array:
    """Training from 0 to 1 on the logarithm of the epochs; 1 if a trial's epochs are unknown."""
    logs = np.log1p(np.concatenate([last, lower]))
    most = float(np.nanmax(logs, initial=0.0))
    return np.nan_to_num(logs / most if most > 0 else logs, nan=1.0)


def _of_lower(history: History, key: str) -> Array:
    nothing = np.full(len(history.lower.trial), np.nan)
    return np.asarray(history.lower.violations.get(key, nothing))
