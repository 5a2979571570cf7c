"""What little training says about much: the measurements of all rungs, made comparable.

A trial that was stopped has the accuracy of a low rung. Taken for that of a trained network it
would teach that its neighbourhood is bad. So every measurement of every rung is learned from, with
how much training it had as one more coordinate (Kandasamy et al., Bayesian optimisation with
continuous approximations, ICML 2017; Swersky, Snoek and Adams, arXiv:1406.3896), and candidates are
judged as if they were trained to the end. What training brings in the middle is taken out first, so
that the surrogate only has to learn who gains more than others.
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

    ``trial`` is the row of each among the told trials; ``trained`` how much training it had, from 0
    to 1 for the most that any trial had; ``values`` and ``violations`` what came out, minimised.
    """

    trial: NDArray[np.intp]
    trained: Array
    values: Array
    violations: Mapping[str, Array]


def has_rungs(history: History) -> bool:
    """Whether some measurements had more training than others."""
    return len(np.unique(_logs(history.epochs, history.lower.epochs))) > 1


def evidence(history: History, chosen: NDArray[np.intp], *, most: int) -> RungEvidence:
    """The last measurements of the chosen trials, and those of their lower rungs as room is left.

    Args:
        history: The study.
        chosen: Rows of told trials.
        most: How many measurements there may be; the chosen trials are not more.
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
    """The values, each with what further training has brought those who went on.

    From one level of training to the next that is the median difference between the two
    measurements of one trial, over the trials that have both; nothing where none has. A median,
    because a network that was worth nothing before its training gains more than all others. And it
    is at most the share of the way to the best value that these have gone in the middle: who is
    nearly there gains little, however much the weak ones gained.
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
    """What a level takes from the distances in the middle, and what share of them it leaves."""
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return 0.0, 1.0
    start, end = np.median(before[both]), np.median(after[both])
    gain = np.median(before[both] - after[both])
    return float(gain), float(end / start) if start > 0 else 1.0


def _logs(last: Array, lower: Array) -> Array:
    """Training as 0 to 1 on the logarithm of the epochs; all of it where a trial says nothing."""
    logs = np.log1p(np.concatenate([last, lower]))
    most = float(np.nanmax(logs, initial=0.0))
    return np.nan_to_num(logs / most if most > 0 else logs, nan=1.0)


def _of_lower(history: History, key: str) -> Array:
    nothing = np.full(len(history.lower.trial), np.nan)
    return np.asarray(history.lower.violations.get(key, nothing))
