"""The report of a job: the worth of the search, its uncertainty, and where the time went."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement, Split
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import (
    ClassSchema,
    Counts,
    FinalistSchema,
    FrontPoint,
    QualitySchema,
    ReportSchema,
)
from featherweight.specs.states import JobState, Phase, TrialState
from service.reports import accuracies, figures, fronts, job_warnings, latency_notes, warnings
from service.reports.fronts import Files
from store.jobs import rejections
from store.session import Session
from store.tables.records import JobRecord, TrialRecord
from store.trials import trials


def report(session: Session, job: JobRecord, counts: Counts) -> ReportSchema:
    """Return everything the job found so far."""
    files = fronts.measured(session, job)
    tried = trials.of_job(session, job.id)
    simple = [trial for trial in tried if trial.origin == trials.CONTROL]
    controls = fronts.last_keys(files, simple)
    without_search = fronts.without_search(files, simple)
    best, _ = fronts.recommend(files, without_search)
    taken = fronts.take(session, files)
    finalists = tuple(_finalists(tried, files.spec))
    found = tuple(_warnings(session, files, taken.point, finalists))
    points = fronts.points_of(session, files, [*controls, *([best] if best else [])])
    return ReportSchema(
        job=job.id,
        state=JobState(job.state),
        baseline=files.baseline,
        baseline_test=_of_baseline(files, "test"),
        baseline_validation=_of_baseline(files, "validation"),
        recommended=taken.point,
        recommendation=taken.text,
        test_note=fronts.test_note(session, files),
        classes=tuple(_classes(files, taken.point)),
        figures=tuple(
            figures.of_report(files.baseline, taken.point.measurement if taken.point else None)
        ),
        counts=counts,
        controls=tuple(points[key] for key in controls if key in points),
        finalists=finalists,
        best_without_search=points.get(best) if best else None,
        hypervolume=fronts.select(files, files.candidates).hypervolume,
        hypervolume_of_controls=fronts.select(files, without_search).hypervolume,
        refused=rejections.count(session, job.id),
        seconds=_seconds(files),
        stop_reasons=_stop_reasons(tried),
        compression_ratio=_compression_ratio(files),
        warnings=found,
        notes=tuple(dict.fromkeys((*found, *_of_job(files), *_notes(files)))),
    )


def _finalists(tried: Sequence[TrialRecord], spec: JobSpec) -> list[FinalistSchema]:
    groups: dict[str, list[TrialRecord]] = {}
    for trial in tried:
        is_done = trial.state == TrialState.COMPLETE and trial.measurement is not None
        if trial.phase == Phase.FINISH and is_done:
            groups.setdefault(trial.candidate_digest, []).append(trial)
    return [_finalist(group, spec) for group in groups.values()]


def _finalist(group: Sequence[TrialRecord], spec: JobSpec) -> FinalistSchema:
    candidate = Candidate.of_record(group[0].candidate)
    measured = [Measurement.model_validate(trial.measurement) for trial in group]
    validation_mean, validation_std = _spread(measured, "validation")
    test_mean, test_std = _spread(measured, "test")
    assert validation_mean is not None
    assert validation_std is not None
    return FinalistSchema(
        candidate=candidate,
        description=candidate.describe(),
        trials=tuple(trial.number for trial in group),
        size_bytes=tuple(one.size_bytes for one in measured),
        validation_mean=validation_mean,
        validation_std=validation_std,
        test_mean=test_mean,
        test_std=test_std,
        figures=figures.spreads(measured, spec),
    )


def _spread(measured: Sequence[Measurement], split: Split) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation; 0 for a single value, None for none."""
    values = [one.scores[split] for one in measured if one.has_score(split)]
    if not values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _seconds(files: Files) -> dict[str, float]:
    """Sum seconds over the newest rung of every trial, whose clock runs on from rung to rung."""
    newest = dict(sorted(files.rungs))
    total: Counter[str] = Counter()
    for (trial, rung), record in files.rungs.items():
        if newest[trial] == rung:
            total.update(record.measurement.get("seconds", {}))
    return dict(total)


def _stop_reasons(tried: Sequence[TrialRecord]) -> dict[str, int]:
    ended = [trial for trial in tried if TrialState(trial.state).is_finished]
    return dict(Counter(_in_short(trial) for trial in ended).most_common())


def _in_short(trial: TrialRecord) -> str:
    """Return the reason without the numbers that only ``why`` of that trial needs."""
    if trial.state == TrialState.FAILED:
        return f"failed: {trial.failure_class}"
    if trial.state == TrialState.STOPPED and trial.rung is not None and ":" in trial.reason:
        return f"stopped at rung {trial.rung}"
    return trial.reason or trial.state


def _compression_ratio(files: Files) -> float | None:
    sizes = [c.measurement.size_bytes for c in files.candidates if c.violation <= 0]
    if files.baseline is None or not sizes:
        return None
    return files.baseline.size_bytes / min(sizes)


def _of_baseline(files: Files, split: Split) -> QualitySchema | None:
    return None if files.baseline is None else accuracies.of(files.baseline, split, files.data)


def _classes(files: Files, taken: FrontPoint | None) -> Iterator[ClassSchema]:
    """Yield the recalls of the baseline and of the recommended file, if they were counted."""
    splits: tuple[Split, ...] = ("validation", "test")
    names = files.data.class_names
    for split in splits:
        columns = [
            measured.class_correct.get(split, ()) if measured else ()
            for measured in (files.baseline, taken.measurement if taken else None)
        ]
        if not any(columns):
            continue
        for label, images in enumerate(files.data.class_counts.get(split, ())):
            before, now = (_recall(column, label, images) for column in columns)
            yield ClassSchema(
                label=label,
                name=names[label] if names else "",
                split=split,
                images=images,
                baseline=before,
                recommended=now,
            )


def _recall(correct: Sequence[int], label: int, images: int) -> float | None:
    if label >= len(correct) or images == 0:
        return None
    return correct[label] / images


def _warnings(
    session: Session, files: Files, taken: FrontPoint | None, finalists: Sequence[FinalistSchema]
) -> Iterator[str]:
    """Yield the reasons to trust the report's numbers less."""
    yield from warnings.of_files(files.spec, files.data, files.baseline, taken)
    front = set(fronts.select(files, files.candidates).front)
    shown = [one.measurement for one in files.candidates if one.key in front]
    yield from warnings.wide_spread(finalists, shown)
    yield from warnings.mixed_revisions([one.measurement for one in files.candidates])
    yield from job_warnings.of_spec(session, files.job)
    yield from latency_notes.of_front(shown)
    tried = [one.measurement for one in files.candidates]
    yield from latency_notes.of_baseline(files.baseline, tried)


def _of_job(files: Files) -> tuple[str, ...]:
    """Return notes of the baseline on the whole job, such as how its images are varied."""
    return () if files.baseline is None else files.baseline.notes


def _notes(files: Files) -> tuple[str, ...]:
    """Return the notes of the files of the front; other files have theirs in ``why``."""
    front = set(fronts.select(files, files.candidates).front)
    shown = [candidate for candidate in files.candidates if candidate.key in front]
    return tuple(dict.fromkeys(note for one in shown for note in one.measurement.notes))
