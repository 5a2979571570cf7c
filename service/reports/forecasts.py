"""Forecast a job's time from its present state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from compress.tasks.inspection import DatasetInfo
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import Forecast
from featherweight.specs.states import JobState, Phase, TrialState
from search.early_stopping.climbing import Standing
from search.errors import SearchError
from search.forecasting import forecast
from search.forecasting.forecast import Progress
from search.forecasting.pace import Sample
from search.space import supernets
from search.space.stored_problem import problem_of
from search.space.supernets import EpochCosts
from store.database import clock
from store.files import datasets
from store.jobs import jobs, progress
from store.jobs.progress import Counted, Timed
from store.session import Session
from store.tables.records import JobRecord

_MOST_KNOWN = 256
_known: dict[tuple[str, str | None], EpochCosts] = {}
"""Costs that this process has computed, by job and profile: they never change."""


def of_job(session: Session, job: JobRecord) -> Forecast:
    """Return the forecast of a job from its present state."""
    spec = jobs.spec(job)
    data = DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info)
    standing = _progress(session, job, spec)
    try:
        costs = EpochCosts() if standing.is_over else _costs(session, job)
    except SearchError as error:
        return Forecast(seconds=None, basis=str(error), elapsed_seconds=standing.elapsed_seconds)
    return forecast.forecast(
        spec,
        train_images=data.splits["train"],
        baseline=jobs.baseline(job),
        costs=costs,
        progress=standing,
    )


def samples(found: Iterable[Timed]) -> tuple[Sample, ...]:
    """Return what a forecast needs to know of timed trials."""
    return tuple(
        Sample(
            epochs=one.epochs,
            rungs=one.rung + 1,
            macs=one.measurement.macs,
            seconds=one.measurement.seconds,
            wall_seconds=one.wall_seconds,
        )
        for one in found
    )


def _progress(session: Session, job: JobRecord, spec: JobSpec) -> Progress:
    elapsed = jobs.running_seconds(job, clock.utc_now())
    if JobState(job.state).is_finished:
        return Progress(is_over=True, elapsed_seconds=elapsed)
    counted = progress.counted(session, job, num_rungs=len(spec.early_stopping.rungs))
    return Progress(
        phase=Phase(job.phase),
        elapsed_seconds=elapsed,
        standing=_standing(counted),
        num_lost=counted.num_lost,
        num_finished=counted.num_finished,
        at_once=max(1, job.counts.get(TrialState.RUNNING, 0)),
        samples=samples(progress.timed(session, job.id)),
    )


def _standing(counted: Counted) -> Standing:
    above = (*counted.reached[1:], 0)
    return Standing(
        reached=counted.reached,
        climbed=tuple(n + counted.on_the_way.count(rung) for rung, n in enumerate(above)),
    )


def _costs(session: Session, job: JobRecord) -> EpochCosts:
    """Return what epochs of the job's members cost. Raises SearchError if it cannot be searched."""
    key = (job.id, job.profile_sha256)
    if key not in _known:
        problem = problem_of(session, job)
        found = supernets.costs(problem)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = replace(found, typical=supernets.typical(problem))
    return _known[key]
