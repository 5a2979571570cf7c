"""Warm starts: choose finished jobs, and the candidates of theirs that open a new search.

Everything is decided and recorded when the job is submitted, so that a restart cannot change it and
everybody can look up what a job began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from sqlalchemy.orm import Session

from compress.network.sources.source import OnnxSource
from compress.techniques.candidate import Candidate
from compress.values import revision
from compress.values.measurement import Measurement, Metric
from compress.values.schedule import USUAL_RATE, Schedule
from featherweight.specs.job import UntrainedModel
from featherweight.specs.phases import WarmStart
from featherweight.specs.states import JobState, Phase
from search.errors import SearchError, WarmStartDoesNotFit
from search.front import comparison, front
from search.front.front import FrontCandidate
from search.queue import proposals
from search.space.problem import Problem
from search.space.space import Space
from search.space.stored_problem import problem_of
from store.errors import JobNotFound
from store.files import models
from store.jobs import jobs, warm_starts
from store.tables.records import DatasetRecord, JobRecord, ModelRecord
from store.trials import candidates, rungs, trials
from store.trials.candidates import ProposedCandidate

MOST_FOUND = 4
"""The largest number of jobs that ``auto`` starts from."""
_TRIED_IN = (Phase.SEARCH, Phase.FINISH)


@dataclass(frozen=True, kw_only=True)
class Own:
    """The job that is about to start."""

    problem: Problem
    model: ModelRecord | None
    teacher: ModelRecord | None
    dataset: DatasetRecord


@dataclass(frozen=True, kw_only=True)
class Source:
    """A finished job that another one may start from."""

    job: JobRecord
    problem: Problem
    model: ModelRecord | None
    teacher: ModelRecord | None
    dataset: DatasetRecord

    @property
    def revision(self) -> int:
        """The revision of the engine that measured its baseline."""
        baseline = self.problem.baseline
        assert baseline is not None  # only jobs with one are read
        return baseline.engine_revision


@dataclass(frozen=True, kw_only=True)
class Start:
    """The opening candidates, and the ids of the jobs, each with whether its trials are history."""

    sources: tuple[tuple[str, bool], ...] = ()
    candidates: tuple[ProposedCandidate, ...] = ()


def choose(session: Session, own: Own) -> Start:
    """Choose what the job starts from.

    That is nothing if the job does not ask for it, or if ``auto`` finds no job. Raises
    WarmStartDoesNotFit for a job that is named and cannot be started from.
    """
    wanted = own.problem.spec.warm_start
    if wanted is None:
        return Start()
    sources = _found(session, own) if wanted.auto else _named(session, own, wanted)
    opening = tuple(_opening(session, own, sources, most=wanted.candidates))
    if not opening and not wanted.auto:
        raise WarmStartDoesNotFit(
            f"warm_start.jobs: nothing that the jobs {list(wanted.jobs)} have on their fronts is a "
            "candidate here other than the baseline: name other jobs, or leave warm_start out"
        )
    return Start(
        sources=tuple((source.job.id, _is_history(own, source)) for source in sources),
        candidates=opening,
    )


def begin(session: Session, job: JobRecord, start: Start) -> None:
    """Record the start together with the new job."""
    warm_starts.add_sources(session, job, start.sources)
    for candidate in start.candidates:
        candidates.add(session, job, candidate, origin=candidates.WARM)


def _named(session: Session, own: Own, wanted: WarmStart) -> list[Source]:
    return [_checked(own, _source(session, job_id)) for job_id in wanted.jobs]


def _source(session: Session, job_id: str) -> Source:
    try:
        job = jobs.get(session, job_id)
    except JobNotFound as error:
        raise WarmStartDoesNotFit(f"warm_start.jobs: there is no job {job_id!r}") from error
    if not JobState(job.state).is_finished:
        raise WarmStartDoesNotFit(
            f"warm_start.jobs: job {job_id} is {job.state}: wait for its end, or cancel it"
        )
    if job.baseline is None:
        raise WarmStartDoesNotFit(
            f"warm_start.jobs: job {job_id} ended before its baseline was measured: it has no front"
        )
    return _read(session, job)


def _read(session: Session, job: JobRecord) -> Source:
    try:
        problem = problem_of(session, job)
    except SearchError as error:
        raise WarmStartDoesNotFit(
            f"warm_start.jobs: the space of job {job.id} is not one of this version: {error}"
        ) from error
    return Source(
        job=job,
        problem=problem,
        model=None if job.model_id is None else session.get_one(ModelRecord, job.model_id),
        teacher=None if job.teacher_id is None else session.get_one(ModelRecord, job.teacher_id),
        dataset=session.get_one(DatasetRecord, job.dataset_id),
    )


def _checked(own: Own, source: Source) -> Source:
    if not _common(own, source):
        raise WarmStartDoesNotFit(
            f"warm_start.jobs: job {source.job.id} turned none of the knobs that this job turns, "
            f"which are of {sorted(own.problem.spec.techniques)}: its own are of "
            f"{sorted(source.problem.spec.techniques)}"
        )
    return source


def _common(own: Own, source: Source) -> set[str]:
    return {knob.name for knob in own.problem.space.turning} & {
        knob.name for knob in source.problem.space.knobs
    }


def _found(session: Session, own: Own) -> list[Source]:
    """The newest jobs on the same model and data; if there are none, on either of the two."""
    near: list[Source] = []
    same: list[Source] = []
    for job in warm_starts.finished(session):
        try:
            source = _checked(own, _read(session, job))
        except WarmStartDoesNotFit:
            continue
        is_data = source.dataset.sha256 == own.dataset.sha256
        if is_data and _is_same_model(own, source):
            same.append(source)
        elif is_data or _is_same_family(own, source):
            near.append(source)
    return (same or near)[:MOST_FOUND]


def _is_same_family(own: Own, source: Source) -> bool:
    mine, theirs = own.problem.outline.elastic, source.problem.outline.elastic
    return mine is not None and theirs is not None and mine.family == theirs.family


def _is_history(own: Own, source: Source) -> bool:
    """Return whether a measurement of the source would be the same in this job.

    It is if model, data, teacher, space, target and the revision of the engine are the same.
    """
    mine, theirs = own.problem.spec, source.problem.spec
    return (
        not revision.differs(source.revision)
        and mine.target == theirs.target
        and _is_same_model(own, source)
        and source.dataset.sha256 == own.dataset.sha256
        and source.problem.space.knobs == own.problem.space.knobs
        and (mine.student, mine.supernet) == (theirs.student, theirs.supernet)
        and _recovery(own) == _recovery(source)
        and (not mine.trains_supernet or mine.seed == theirs.seed)
        and _is_same(own.teacher, source.teacher)
    )


def _recovery(given: Own | Source) -> Schedule:
    """Return how the job trains: its rate in numbers, unless every candidate has its own."""
    schedule, model = given.problem.spec.recovery, given.model
    is_tested = model is not None and isinstance(models.source_of(model), OnnxSource)
    if schedule.learning_rate != "auto" or is_tested:
        return schedule
    return schedule.model_copy(update={"learning_rate": USUAL_RATE})


def _is_same_model(own: Own, source: Source) -> bool:
    """Return whether both have the same weights, or train the same network from the same seed."""
    mine, theirs = own.problem.spec, source.problem.spec
    if isinstance(mine.model, UntrainedModel):
        return mine.model == theirs.model and mine.seed == theirs.seed
    return source.model is not None and _is_same(own.model, source.model)


def _is_same(one: ModelRecord | None, other: ModelRecord | None) -> bool:
    if one is None or other is None:
        return one is other
    fields = ("sha256", "architecture", "normalisation")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _opening(
    session: Session, own: Own, sources: list[Source], *, most: int
) -> Iterator[ProposedCandidate]:
    """Yield the fronts' candidates in this job's space, the jobs in turn, none twice."""
    seen = {Candidate().digest()}
    left = min(most, own.problem.spec.search_trials)
    fronts = [_front(session, own, source, count=most) for source in sources]
    for proposed in chain.from_iterable(zip_longest(*fronts)):
        if left and proposed is not None and proposed.candidate.digest() not in seen:
            seen.add(proposed.candidate.digest())
            left -= 1
            yield proposed


def _front(session: Session, own: Own, source: Source, *, count: int) -> list[ProposedCandidate]:
    """The source's best candidates by this job's demands, compared with the source's baseline."""
    spec, baseline = own.problem.spec, source.problem.baseline
    compared: set[Metric] = {wanted.metric for wanted in (*spec.objectives, *spec.constraints)}
    if baseline is None or any(baseline.known(metric) is None for metric in compared):
        return []
    tried = {row.id: row for row in trials.of_job(session, source.job.id) if row.phase in _TRIED_IN}
    points: list[FrontCandidate[Candidate]] = []
    numbers: dict[str, int] = {}
    for rung in rungs.of_job(session, source.job.id):
        measured = Measurement.model_validate(rung.measurement)
        if rung.trial_id not in tried or any(measured.known(m) is None for m in compared):
            continue
        candidate = Candidate.of_record(tried[rung.trial_id].candidate)
        numbers.setdefault(candidate.digest(), tried[rung.trial_id].number)
        violation = comparison.violation(measured, spec.constraints, baseline)
        points.append(FrontCandidate(key=candidate, measurement=measured, violation=violation))
    best = front.finalists(
        points,
        count=count,
        objectives=spec.objectives,
        constraints=spec.constraints,
        baseline=baseline,
    )
    return [_snapped(own, source, one, number=numbers[one.digest()]) for one in best]


def _snapped(own: Own, source: Source, candidate: Candidate, *, number: int) -> ProposedCandidate:
    """Move the candidate into this job's space, and note what could not be kept."""
    params = proposals.nearest(own.problem.space, candidate)
    here = own.problem.space.candidate(params)
    note = f"from trial {number} of job {source.job.id}"
    if revision.differs(source.revision):
        note += (
            f", measured by revision {source.revision} of the engine: its figures may differ here"
        )
    if source.problem.spec.target != own.problem.spec.target:
        note += f", measured for the target {source.problem.spec.target}: its bytes differ here"
    if here.digest() != candidate.digest():
        dropped = sorted(_dropped(own.problem.space, candidate))
        note += f", which was {candidate.describe()}: snapped to the values of this job"
        note += f"; it has no knob for {', '.join(dropped)}" if dropped else ""
    return ProposedCandidate(candidate=here, params=params, note=note)


def _dropped(space: Space, candidate: Candidate) -> set[str]:
    """The candidate's techniques that the space does not list, and fields that it cannot vary."""
    techniques = {step.technique for step in candidate.configs} - set(space.techniques)
    knobs = {knob.path for knob in space.knobs}
    fields = {f"{t}.{f}" for t, f, _ in proposals.changed(candidate) if t in space.techniques}
    return techniques | (fields - knobs)
