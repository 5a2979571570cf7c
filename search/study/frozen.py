"""Translate our values to Optuna's: distributions, parameters, and trials as it stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from compress.values.knobs import Scalar
from compress.values.measurement import Measurement, Metric
from featherweight.specs import states
from featherweight.specs.job import JobSpec
from search.front import comparison
from search.samplers import rungs
from search.space import grid
from search.space.knobs import Knob
from search.space.problem import Problem
from search.space.space import Space
from store.tables.records import TrialRecord

PRIOR = "prior"
"""The attribute of a trial that another job has run."""
DIRECTIONS = {"maximise": StudyDirection.MAXIMIZE, "minimise": StudyDirection.MINIMIZE}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What outcomes need: the baseline, and each trial's measurements from rung 0 on."""

    baseline: Measurement | None
    curves: Mapping[str, Sequence[Measurement]]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each turning knob."""
    return {knob.name: _distribution(knob) for knob in space.turning}


def params(frozen: FrozenTrial, space: Space) -> dict[str, Scalar]:
    """Return the knobs' values without the binary noise of a grid."""
    return {knob.name: _cleaned(knob, frozen.params[knob.name]) for knob in space.turning}


def values(trial: TrialRecord, spec: JobSpec) -> list[float] | None:
    """Return the metrics of the last rung in their own direction; None if the trial has none."""
    is_over = trial.state in (states.TrialState.COMPLETE, states.TrialState.STOPPED)
    if not is_over or trial.measurement is None:
        return None
    measurement = Measurement.model_validate(trial.measurement)
    return list(comparison.values(measurement, spec.objectives))


def constraints(trial: TrialRecord, spec: JobSpec, measured: Measured) -> dict[str, float]:
    """Return the violation of each constraint by its label, for a trial that has values."""
    if values(trial, spec) is None:
        return {}
    measurement = Measurement.model_validate(trial.measurement)
    return comparison.violations(measurement, spec.constraints, measured.baseline)


def system_attrs(amounts: Mapping[str, float]) -> dict[str, float]:
    """Constraints as Optuna keeps them, in its own spelling."""
    return create_trial(state=TrialState.RUNNING, constraints=dict(amounts)).system_attrs


def user_attrs(trial: TrialRecord, spec: JobSpec, measured: Measured) -> dict[str, Any]:
    """Return the attributes that a dashboard shows and that samplers learn from."""
    return {
        "trial": trial.id,
        "number": trial.number,
        "origin": trial.origin,
        "state": trial.state,
        "rung": trial.rung,
        rungs.RUNGS: curve(trial, spec, measured),
    }


def curve(trial: TrialRecord, spec: JobSpec, measured: Measured) -> list[dict[str, Any]]:
    """Return the results of each rung of the trial, as samplers read them."""
    # A trial on its way has more rungs than measurements.
    reached = zip(trial.rungs, measured.curves.get(trial.id, ()), strict=False)
    return [
        rungs.entry(
            epochs=epochs,
            values=comparison.values(one, spec.objectives),
            constraints=comparison.violations(one, spec.constraints, measured.baseline),
        )
        for epochs, one in reached
    ]


def outcome(told: Sequence[float] | None) -> TrialState:
    """Return the state for the sampler: complete with values, failed without."""
    return TrialState.FAIL if told is None else TrialState.COMPLETE


def again(trial: TrialRecord, problem: Problem, measured: Measured) -> FrozenTrial:
    """Make the trial as the study would hold it if it had followed from the start."""
    spec = problem.spec
    told = values(trial, spec)
    finished = trial.finished_at is not None
    made = create_trial(
        state=outcome(told) if finished else TrialState.RUNNING,
        values=told if finished else None,
        params=dict(trial.params or {}),
        distributions=distributions(problem.space),
        user_attrs=user_attrs(trial, spec, measured) if finished else {},
        constraints=constraints(trial, spec, measured) if finished else {},
    )
    made.datetime_start = local(trial.started_at or trial.created_at)
    made.datetime_complete = None if trial.finished_at is None else local(trial.finished_at)
    return made


def prior(trial: TrialRecord, problem: Problem, measured: Measured) -> FrozenTrial | None:
    """Make a trial of another job part of this one's history.

    Its values are compared by this job's objectives, constraints and baseline. Returns None if it
    lacks a metric that this job compares.
    """
    spec = problem.spec
    found = Measurement.model_validate(trial.measurement)
    metrics: set[Metric] = {wanted.metric for wanted in (*spec.objectives, *spec.constraints)}
    if any(found.known(metric) is None for metric in metrics):
        return None
    made = again(trial, problem, measured)
    for key, value in {PRIOR: True, "job": trial.job_id}.items():
        made.set_user_attr(key, value)
    return made


def _distribution(knob: Knob) -> BaseDistribution:
    if knob.choices:
        return CategoricalDistribution(knob.choices)
    low, high = grid.bounds(knob)
    if knob.kind == "int":
        return IntDistribution(int(low), int(high), step=int(knob.step or 1))
    return FloatDistribution(low, high, step=knob.step, log=knob.log)


def _cleaned(knob: Knob, value: Scalar) -> Scalar:
    on_grid = knob.kind == "float" and knob.step is not None
    return grid.clean(float(value)) if on_grid else value


def local(moment: datetime) -> datetime:
    """Convert a time to Optuna's form, which is local time without a zone."""
    return moment.astimezone().replace(tzinfo=None)
