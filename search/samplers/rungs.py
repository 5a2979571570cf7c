"""The measurements of a trial at its rungs: epochs, objectives and constraints.

They are in a user attribute of the trial, because Optuna keeps intermediate values only for studies
with one objective. It is a list of ``{"epochs": int, "values": [...], "constraints": {...}}`` in
ascending order, whose last entry has the trial's final values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

Array = NDArray[np.float64]
RUNGS = "rungs"
"""The name of the user attribute."""


def entry(
    *, epochs: int, values: Sequence[float], constraints: Mapping[str, float]
) -> dict[str, Any]:
    """Make the entry of one rung; values are in the objectives' own directions."""
    return {"epochs": epochs, "values": list(values), "constraints": dict(constraints)}


@dataclass(frozen=True, kw_only=True)
class Lower:
    """N measurements of told trials at rungs below their last one.

    ``trial`` is the row among the told trials and ``epochs`` its training until then, each
    ``(N,)``. ``values`` is ``(N, objectives)``, minimised, and ``violations`` has NaN for a
    constraint that is not mentioned.
    """

    trial: NDArray[np.intp]
    epochs: Array
    values: Array
    violations: Mapping[str, Array]


def last_epochs(trials: Sequence[FrozenTrial]) -> Array:
    """Return the epochs at each trial's last rung; NaN if unknown."""
    found = [_entries(trial) for trial in trials]
    return np.array([each[-1]["epochs"] if each else np.nan for each in found], dtype=float)


def lower(trials: Sequence[FrozenTrial], signs: Array) -> Lower:
    """Return all measurements below the last rungs.

    Args:
        trials: The told trials.
        signs: 1 for each objective that is minimised, -1 for one that is maximised.
    """
    found = [(row, one) for row, trial in enumerate(trials) for one in _entries(trial)[:-1]]
    keys = sorted({key for _, one in found for key in one["constraints"]})
    values = np.array([one["values"] for _, one in found], dtype=float)
    return Lower(
        trial=np.array([row for row, _ in found], dtype=np.intp),
        epochs=np.array([one["epochs"] for _, one in found], dtype=float),
        values=values.reshape(len(found), len(signs)) * signs,
        violations={
            key: np.array([one["constraints"].get(key, np.nan) for _, one in found], dtype=float)
            for key in keys
        },
    )


def _entries(trial: FrozenTrial) -> Sequence[Mapping[str, Any]]:
    """Read the attribute. Raises ValueError if it holds something else."""
    found = trial.user_attrs.get(RUNGS, ())
    if not isinstance(found, list | tuple) or not all(
        isinstance(each, dict) and {"epochs", "values", "constraints"} <= set(each)
        for each in found
    ):
        raise ValueError(
            f"the user attribute {RUNGS!r} of trial {trial.number} must be a list of rungs, each "
            f"with epochs, values and constraints, got {found!r}: name the attribute otherwise"
        )
    return found
