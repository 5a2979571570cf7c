"""The trials of a study as arrays, with everything to be minimised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.samplers import rungs
from search.samplers.parameters import Codes, Parameter
from search.samplers.rungs import Lower

REFUSED = "refused"
"""User attribute of a trial whose values were not measured; samplers do not learn from it."""
_TWICE = 2
"""Failures after which a point is not tried again; a single one may have been bad luck."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Trials that ended with values (``told``), running ones, and points not to be tried again.

    ``signs`` is 1 for each objective that is minimised and -1 for one that is maximised.
    ``values`` is ``(told, objectives)``, minimised. ``violations`` holds one number per told trial
    for each constraint, NaN if a trial has none. ``epochs`` are those that each told trial was
    trained for, NaN if unknown, and ``lower`` holds its measurements at earlier rungs.
    """

    told: Codes
    values: NDArray[np.float64]
    violations: Mapping[str, NDArray[np.float64]]
    epochs: NDArray[np.float64]
    lower: Lower
    told_params: Sequence[Mapping[str, Any]]
    running: Codes
    running_params: Sequence[Mapping[str, Any]]
    spent: Codes
    signs: NDArray[np.float64]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers mixed into a seed, which change with what is known and not with lost trials."""
        return len(self.told), len(self.running), len(self.spent)

    @property
    def worst_violation(self) -> NDArray[np.float64]:
        """Return the largest violation of each told trial; -1 without constraints."""
        none = np.full(len(self.told), -np.inf)
        worst = np.nanmax(np.stack([none, *self.violations.values()], axis=1), axis=1)
        return np.nan_to_num(worst, neginf=-1.0)

    @property
    def tried(self) -> Codes:
        """Return every point that is not to be proposed again."""
        return np.concatenate([self.told, self.running, self.spent])


def space(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Every knob of the trials that are over, with the distribution of its latest trial."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            found |= trial.distributions
    return dict(sorted(found.items()))


def read(study: Study, current: FrozenTrial, knobs: Sequence[Parameter]) -> History:
    """Read the history of a study as the asking trial sees it.

    Failed trials are ignored, as everywhere in Optuna. But a point that failed twice is not
    proposed again, nor is one that was stopped before it had values, or was refused.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.params]
    told = those_told(trials)
    running = [
        trial
        for trial in trials
        if trial.state == TrialState.RUNNING and trial.number != current.number
    ]
    values = np.array([trial.values for trial in told], dtype=float)
    return History(
        told=_codes(told, knobs),
        values=values.reshape(len(told), len(study.directions)) * _signs(study),
        violations=_violations(told),
        epochs=rungs.last_epochs(told),
        lower=rungs.lower(told, _signs(study)),
        told_params=[trial.params for trial in told],
        running=_codes(running, knobs),
        running_params=[trial.params for trial in running],
        spent=_spent(trials, knobs),
        signs=_signs(study),
    )


def _signs(study: Study) -> NDArray[np.float64]:
    return np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])


def _codes(trials: Sequence[FrozenTrial], knobs: Sequence[Parameter]) -> Codes:
    columns = [_column(trials, knob) for knob in knobs]
    return np.array(columns, dtype=float).reshape(len(knobs), len(trials)).T


def _column(trials: Sequence[FrozenTrial], knob: Parameter) -> list[float]:
    known: dict[Any, float] = {}
    column = []
    for trial in trials:
        value = trial.params.get(knob.name, knob)
        # 1, 1.0 and True are one key of a dict, and may be three choices.
        key = (type(value), value)
        if key not in known:
            known[key] = np.nan if value is knob else knob.code(value)
        column.append(known[key])
    return column


def _violations(told: Sequence[FrozenTrial]) -> dict[str, NDArray[np.float64]]:
    found = [trial.constraints for trial in told]
    keys = sorted({key for amounts in found for key in amounts})
    return {key: np.array([amounts.get(key, np.nan) for amounts in found]) for key in keys}


def _spent(trials: Sequence[FrozenTrial], knobs: Sequence[Parameter]) -> Codes:
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    times = Counter(_key(trial) for trial in failed)
    twice = {_key(trial): trial for trial in failed if times[_key(trial)] >= _TWICE}
    over = (TrialState.PRUNED, TrialState.COMPLETE)
    stopped = [trial for trial in trials if trial.state in over and not _is_told(trial)]
    return _codes([*twice.values(), *stopped], knobs)


def those_told(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials with knobs and measured values, as in ``History.told``."""
    return [trial for trial in trials if trial.params and _is_told(trial)]


def _is_told(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and REFUSED not in trial.user_attrs


def _key(trial: FrozenTrial) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(trial.params.items()))
