"""The front of a job and the file to take, from the records of its rungs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from compress.tasks.inspection import DatasetInfo
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import FrontPoint, FrontSchema, RecommendationSchema
from featherweight.specs.states import JobState, Phase
from search.front import front as fronts
from search.front.front import FrontCandidate
from service.reports import accuracies, figures, warnings
from store.attempts import evaluations, views
from store.files import artifacts, datasets
from store.jobs import jobs
from store.meters import meterings
from store.session import Session
from store.tables.records import JobRecord, RungRecord, TrialRecord
from store.trials import rungs, trials

_NO_CANDIDATES = (Phase.SUPERNET, Phase.PROFILE, Phase.TEST)
Key: TypeAlias = tuple[str, int]
"""Trial id and rung. Every rung of every trial ends with a file."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """Everything of a job that was measured, by trial and rung.

    ``candidates`` may be on a front: checkpoints of a supernet may not, and the baseline is listed
    once. ``tested`` maps the digest of a file to the record that measured it on test.
    """

    job: JobRecord
    spec: JobSpec
    data: DatasetInfo
    baseline: Measurement | None
    rungs: dict[Key, RungRecord]
    tested: dict[str, RungRecord]
    candidates: tuple[FrontCandidate[Key], ...]


def measured(session: Session, job: JobRecord) -> Files:
    """Read the job's rungs once."""
    records = rungs.of_job(session, job.id)
    found = {(record.trial_id, record.rung): record for record in records}
    return Files(
        job=job,
        spec=jobs.spec(job),
        data=DatasetInfo.model_validate(datasets.get(session, job.dataset_id).info),
        baseline=jobs.baseline(job),
        rungs=found,
        tested=evaluations.tested(records),
        candidates=tuple(
            FrontCandidate(
                key=key,
                measurement=Measurement.model_validate(record.measurement),
                violation=record.violation,
            )
            for key, record in found.items()
            if record.phase not in _NO_CANDIDATES
        ),
    )


def front(session: Session, job: JobRecord) -> FrontSchema:
    """Return the current front; while nothing is feasible, the nearest file and what blocks it."""
    files = measured(session, job)
    chosen = select(files, files.candidates)
    simple = last_keys(files, trials.of_origin(session, job.id, trials.CONTROL))
    taken = take(session, files)
    shown = [*chosen.front, *simple, *_given(chosen.nearest), *baseline(files)]
    points = points_of(session, files, shown)
    return FrontSchema(
        job=job.id,
        state=JobState(job.state),
        objectives=tuple(f"{o.direction} {o.metric}" for o in files.spec.objectives),
        compared=figures.compared(files.spec),
        baseline=next(iter(_there(points, baseline(files))), None),
        points=_there(points, chosen.front),
        controls=_there(points, simple),
        nearest=points.get(chosen.nearest) if chosen.nearest else None,
        blocked_by=chosen.blocked_by,
        hypervolume=chosen.hypervolume,
        recommended=taken.point.artifact if taken.point else None,
        recommendation=taken.text,
        test_note=test_note(session, files),
        warnings=tuple(warnings.of_files(files.spec, files.data, files.baseline, taken.point)),
    )


def recommendation(session: Session, job: JobRecord) -> RecommendationSchema:
    """One file to take, and why."""
    return take(session, measured(session, job))


def take(session: Session, files: Files) -> RecommendationSchema:
    """Recommend one of these files. This is the only place that chooses the recommended file."""
    key, reason = recommend(files, files.candidates)
    point = points_of(session, files, _given(key)).get(key) if key else None
    baseline = None if files.baseline is None else accuracies.of(files.baseline, "test", files.data)
    return RecommendationSchema(
        job=files.job.id,
        point=point,
        reason=reason,
        text=accuracies.recommendation(point, reason, baseline=baseline),
    )


def select(files: Files, candidates: Sequence[FrontCandidate[Key]]) -> fronts.Selection[Key]:
    """Return the front of some of the job's files, by its objectives and constraints."""
    return fronts.select(
        candidates,
        objectives=files.spec.objectives,
        constraints=files.spec.constraints,
        baseline=files.baseline,
    )


def recommend(files: Files, candidates: Sequence[FrontCandidate[Key]]) -> tuple[Key | None, str]:
    """Return the file to take among some of the job's files, and why."""
    return fronts.recommend(
        candidates,
        objectives=files.spec.objectives,
        constraints=files.spec.constraints,
        baseline=files.baseline,
    )


def baseline(files: Files) -> list[Key]:
    """Return the key of the baseline's file; empty while it is not measured."""
    return [key for key, record in files.rungs.items() if record.phase == Phase.BASELINE][:1]


def last_keys(files: Files, tried: Iterable[TrialRecord]) -> list[Key]:
    """Return the newest file of each of the trials that has one."""
    return [
        (trial.id, trial.rung)
        for trial in tried
        if trial.rung is not None and (trial.id, trial.rung) in files.rungs
    ]


def points_of(session: Session, files: Files, keys: Iterable[Key]) -> dict[Key, FrontPoint]:
    """Return points with their candidates and addresses, reading only the trials that are needed.

    A file that was removed is no longer a point. Files that ``shown`` names are not removed.
    """
    found = ((key, _point(session, files, key)) for key in dict.fromkeys(keys))
    return {key: point for key, point in found if point is not None}


def shown(session: Session, files: Files) -> set[Key]:
    """Return every file that the front, the recommendation or the report of a job shows."""
    chosen = select(files, files.candidates)
    simple = trials.of_origin(session, files.job.id, trials.CONTROL)
    best, _ = recommend(files, without_search(files, simple))
    taken, _ = recommend(files, files.candidates)
    alone = (chosen.nearest, best, taken)
    return {
        *chosen.front,
        *last_keys(files, simple),
        *baseline(files),
        *(key for key in alone if key is not None),
    }


def without_search(files: Files, simple: Iterable[TrialRecord]) -> list[FrontCandidate[Key]]:
    """Return the job's files that were made by these trials: its result without the search."""
    ids = {trial.id for trial in simple}
    return [candidate for candidate in files.candidates if candidate.key[0] in ids]


def _there(points: Mapping[Key, FrontPoint], keys: Iterable[Key]) -> tuple[FrontPoint, ...]:
    return tuple(points[key] for key in keys if key in points)


def _point(session: Session, files: Files, key: Key) -> FrontPoint | None:
    record = files.rungs[key]
    own = {a.role: a for a in artifacts.of_trial(session, key[0]) if a.rung == record.rung}
    file = own.get("onnx")
    if file is None:
        return None
    trial = views.trial(trials.get(session, key[0]))
    known = with_test(files, record)
    address = f"/v1/artifacts/{file.id}"
    return FrontPoint(
        trial=trial.id,
        number=trial.number,
        phase=trial.phase,
        description=trial.description,
        candidate=trial.candidate,
        seed=trial.seed,
        epochs=record.epochs,
        artifact=file.id,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        feasible=record.violation <= 0,
        measurement=known,
        test=accuracies.of(known, "test", files.data),
        validation=accuracies.of(known, "validation", files.data),
        url=address,
        manifest_url=f"{address}/manifest" if "manifest" in own else None,
        figures=figures.of(known),
        meters=meterings.done_of_artifact(session, file.id),
    )


def test_note(session: Session, files: Files) -> str | None:
    """Why files of the front, or the one to take, have no figure on test; None if all have."""
    chosen, (key, _) = select(files, files.candidates), recommend(files, files.candidates)
    named = {*chosen.front, *_given(chosen.nearest), *_given(key)}
    measured = [with_test(files, files.rungs[key]) for key in named]
    return accuracies.test_note(session, files.job, files.data, measured)


def with_test(files: Files, record: RungRecord) -> Measurement:
    """Return the measurement of a file, with the test figures if they were measured later."""
    known = Measurement.model_validate(record.measurement)
    later = files.tested.get(record.file_sha256)
    if later is None:
        return known
    return accuracies.with_test(known, Measurement.model_validate(later.measurement))


def _given(key: Key | None) -> list[Key]:
    return [] if key is None else [key]
