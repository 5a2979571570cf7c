"""How sure a task's primary metric is: the percentile bootstrap over examples.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3. Rows are drawn with
replacement, as many as there are, and the metric is taken again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.tasks.task import Task

DRAWS = 200
_SEED = 20_261_201
"""Constant: the same answers have the same interval."""
_TAIL = 2.5
_MOST_ROWS = 10_000
"""Of more rows, so many are drawn each time, and the interval is narrowed by the root of that."""


def interval(
    task: Task, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
) -> tuple[float, float]:
    """Return the 95 % interval of the task's primary metric, in the metric's own unit."""
    generator = np.random.default_rng(_SEED)
    count = len(outputs_NK)
    taken = min(count, _MOST_ROWS)
    rows = (generator.integers(0, count, taken) for _ in range(DRAWS))
    drawn = np.array([task.primary_of(outputs_NK[row], labels_N[row]) for row in rows])
    own = task.primary_of(outputs_NK, labels_N)
    drawn = own + (drawn - own) * np.sqrt(taken / count)
    low, high = np.percentile(drawn, (_TAIL, 100 - _TAIL))
    return float(min(low, own)), float(max(high, own))
