"""Rules that end the search phase of a job before its trials are used up.

Everything is read from the tables, so it does not matter when a searcher looks, or which one. A
rule that has ended a search stays true: files remain, promised epochs never decrease, and the
hypervolume is considered after every trial, not only after the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.states import Phase
from featherweight.specs.stopping import NoGain
from search.front import comparison, front, pareto
from search.space.problem import Problem
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import ended_trials, epochs
from store.trials.ended_trials import EndedTrial

BUDGET_SECONDS = "budget_seconds"
"""The reason of a trial that never ran because the job's seconds were over."""
EXHAUSTED = "no further candidate was found that is new and may enter the front"
TARGET = "target"
NO_GAIN = "no_gain"
BUDGET_EPOCHS = "budget_epochs"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why no further trial is proposed. If it ``drops_waiting``, waiting ones do not run."""

    reason: str
    drops_waiting: bool


def by_record(session: Session, job: JobRecord, problem: Problem) -> Ending | None:
    """Return what ends the job's search because of its results; None while it may go on."""
    spec = problem.spec
    stop = spec.stop
    if stop.target and (met := _met(session, job, problem)):
        return Ending(reason=f"{TARGET}: {met}", drops_waiting=True)
    if stop.no_gain is not None and (flat := _flat(session, job, problem, stop.no_gain)):
        return Ending(reason=f"{NO_GAIN}: {flat}", drops_waiting=True)
    if spent := _spent(session, job, spec):
        return Ending(reason=f"{BUDGET_EPOCHS}: {spent}", drops_waiting=False)
    return None


def by_clock(job: JobRecord, problem: Problem, now: datetime) -> Ending | None:
    """Return the end of a job that has run for its seconds, pauses not counted; None before."""
    seconds = problem.spec.budget.seconds
    if seconds is None or jobs.running_seconds(job, now) < seconds:
        return None
    return Ending(reason=BUDGET_SECONDS, drops_waiting=True)


def _met(session: Session, job: JobRecord, problem: Problem) -> str:
    """Say in words which file was the first to meet the target; empty if none has."""
    spec, baseline = problem.spec, problem.baseline
    demands = (*spec.stop.target, *spec.constraints)
    for file in ended_trials.reached(session, job.id, phase=Phase.SEARCH):
        if comparison.violation(file.measurement.at_worst(), demands, baseline) <= 0:
            wanted = " and ".join(constraint.label for constraint in spec.stop.target)
            return f"trial {file.number} at rung {file.rung} meets {wanted}"
    return ""


def _spent(session: Session, job: JobRecord, spec: JobSpec) -> str:
    """Say in words why a new trial could not train any more; empty if it could."""
    least = spec.early_stopping.first_training
    if spec.budget.epochs is None or least is None:
        return ""
    used = epochs.committed(session, job.id)
    if spec.budget.epochs - used >= least:
        return ""
    return f"{used} of {spec.budget.epochs} epochs are used, a new trial takes at least {least}"


def _flat(session: Session, job: JobRecord, problem: Problem, rule: NoGain) -> str:
    """Say in words where the front has stopped growing; empty while it grows."""
    ended = ended_trials.ended(session, job.id, phase=Phase.SEARCH)
    growth = list(volumes(ended, problem.spec, problem.baseline))
    first = next((index for index, volume in enumerate(growth) if volume is not None), len(growth))
    for index in range(first + rule.trials, len(growth)):
        before, after = growth[index - rule.trials], growth[index]
        assert before is not None  # a front with a file keeps one
        assert after is not None
        if after - before < rule.gain:
            return (
                f"the {rule.trials} trials that ended last, up to trial {ended[index].number}, "
                f"raised the hypervolume by {after - before:.3g} to {after:.4g}, which is less "
                f"than {rule.gain:g}"
            )
    return ""


def volumes(
    ended: Sequence[EndedTrial], spec: JobSpec, baseline: Measurement | None
) -> Iterable[float | None]:
    """Return the hypervolume of the front after each trial, in the order in which they ended.

    It is None while the front has no file, and computed again only if the front has changed. A
    doubtful latency counts at its slowest.
    """
    best: list[Measurement] = []
    volume = None
    for trial in ended:
        feasible = [
            each.at_worst()
            for each in trial.measurements
            if comparison.violation(each, spec.constraints, baseline) <= 0
        ]
        files = [*best, *feasible]
        points = [comparison.vector(each, spec.objectives) for each in files]
        kept = pareto.front_indices(points)
        if kept != list(range(len(best))):
            best = [files[index] for index in kept]
            volume = front.hypervolume(best, objectives=spec.objectives, baseline=baseline)
        yield volume
