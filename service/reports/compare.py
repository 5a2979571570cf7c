"""Two jobs beside each other, from the fronts of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featherweight.specs.job import JobSpec
from featherweight.specs.jobs.comparison import ComparedFigure, ComparedJob, ComparisonSchema
from featherweight.specs.schemas import FrontPoint, FrontSchema
from featherweight.specs.states import JobState
from search.front import comparison
from service.reports import fronts
from store.jobs import jobs
from store.session import Session
from store.tables.records import JobRecord


def compare(session: Session, one: JobRecord, other: JobRecord) -> ComparisonSchema:
    """Return both jobs, the metrics of their recommended files, and what hinders a comparison."""
    found = [(job, jobs.spec(job), fronts.front(session, job)) for job in (one, other)]
    (_, first, left), (_, second, right) = found
    taken = [fronts.recommendation(session, job).point for job in (one, other)]
    of_both = {info.name: info for front in (left, right) for info in front.compared}
    return ComparisonSchema(
        jobs=(
            _side(session, one, left, taken[0], _dominated(left, right, first, second)),
            _side(session, other, right, taken[1], _dominated(right, left, second, first)),
        ),
        figures=tuple(
            ComparedFigure(metric=info, values=(_figure(taken[0], name), _figure(taken[1], name)))
            for name, info in of_both.items()
        ),
        notes=tuple(_notes(one, other, taken)),
    )


def _side(
    session: Session,
    job: JobRecord,
    front: FrontSchema,
    taken: FrontPoint | None,
    dominated: int | None,
) -> ComparedJob:
    counts = jobs.counts(session, [job.id])[job.id]
    return ComparedJob(
        id=job.id,
        name=job.name,
        state=JobState(job.state),
        trials=counts.complete + counts.stopped + counts.failed,
        files=len(front.points),
        dominated=dominated,
        hypervolume=front.hypervolume,
        recommended=taken,
    )


def _figure(point: FrontPoint | None, name: str) -> float | None:
    return None if point is None else point.figures.get(name)


def _dominated(mine: FrontSchema, theirs: FrontSchema, own: JobSpec, spec: JobSpec) -> int | None:
    if own.objectives != spec.objectives:
        return None
    vectors = [
        [comparison.vector(point.measurement, own.objectives) for point in front.points]
        for front in (mine, theirs)
    ]
    return sum(any(_is_worse(point, best) for best in vectors[1]) for point in vectors[0])


def _is_worse(point: Sequence[float], best: Sequence[float]) -> bool:
    """Return whether ``best`` is nowhere worse and somewhere better; less is better in all."""
    return best != point and all(b <= p for b, p in zip(best, point, strict=True))


def _notes(one: JobRecord, other: JobRecord, taken: Sequence[FrontPoint | None]) -> Iterator[str]:
    first, second = jobs.spec(one), jobs.spec(other)
    if one.dataset_id != other.dataset_id:
        yield f"other data ({first.data}, {second.data}): accuracies are not of the same images"
    if first.objectives != second.objectives:
        yield "other objectives: no file of one is held against those of the other"
    points = [point for point in taken if point is not None]
    if len({point.measurement.latency.device for point in points}) > 1:
        yield "latencies were measured on other devices"
    for job in (one, other):
        if not JobState(job.state).is_finished:
            yield f"{job.name} ({job.id}) is {job.state}: its front may still grow"
