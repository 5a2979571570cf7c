"""Qualities with their uncertainty, and notes on files that have none on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import EXAMPLES
from compress.values import wilson
from compress.values.measurement import FIRST_PRIMARY, TRAIN_SAMPLE, Measurement, Split
from featherweight.specs.objective import MetricSchema
from featherweight.specs.schemas import FrontPoint, QualitySchema
from featherweight.specs.states import JobState, Phase, TrialState
from store.session import Session
from store.tables.records import JobRecord
from store.trials import trials

Value = TypeVar("Value")
NO_TEST_SPLIT = (
    "validation only: no test split; the figure was picked by the search and is too high by chance"
)
_TOO_HIGH = "figures on validation were picked by the search and are too high by chance"


def of(measurement: Measurement, split: Split, data: DatasetInfo) -> QualitySchema | None:
    """Return the primary metric on a split with its 95 % interval; None if it was not measured."""
    if not measurement.has_score(split) or split not in data.splits:
        return None
    images, metric = num_images(data, split), MetricSchema.of(measurement.primary)
    if measurement.primary == FIRST_PRIMARY:
        share = measurement.accuracy[split]
        found = wilson.interval(share, images)
        return QualitySchema(
            metric=metric,
            value=share,
            accuracy=share,
            images=images,
            examples=EXAMPLES[data.task],
            low=found.low,
            high=found.high,
        )
    value = measurement.quality[split][measurement.primary]
    low, high = measurement.intervals.get(split, (value, value))
    return QualitySchema(
        metric=metric,
        value=value,
        images=images,
        examples=EXAMPLES[data.task],
        low=low,
        high=high,
    )


def num_images(data: DatasetInfo, split: Split) -> int:
    """Return how many images an accuracy on the split is a share of."""
    images = data.splits[split]
    return min(images, TRAIN_SAMPLE) if split == "train" else images


def with_test(measurement: Measurement, later: Measurement) -> Measurement:
    """Return a measurement, completed by a later test measurement of the same file."""
    accuracy = measurement.accuracy | _of_test(later.accuracy)
    found = {
        "accuracy": accuracy,
        "class_correct": measurement.class_correct | _of_test(later.class_correct),
        "quality": measurement.quality | _of_test(later.quality),
        "intervals": measurement.intervals | _of_test(later.intervals),
    }
    return measurement.model_copy(update=found)


def _of_test(by_split: Mapping[Split, Value]) -> dict[Split, Value]:
    return {"test": by_split["test"]} if "test" in by_split else {}


def recommendation(point: FrontPoint | None, reason: str, *, baseline: QualitySchema | None) -> str:
    """Return the sentence about the recommended file: test first, because validation chose it."""
    if point is None:
        return reason
    beside = f" (baseline {baseline.words})" if baseline and point.test else ""
    figures = [
        f"{in_words(found)} on {split}{beside if split == 'test' else ''}"
        for split, found in (("test", point.test), ("validation", point.validation))
        if found is not None
    ]
    return f"trial {point.number}: {', '.join(figures)}; {point.size_bytes:,} bytes: {reason}"


def in_words(found: QualitySchema) -> str:
    """Return a quality with its interval and number of examples."""
    return f"{found.words} (95 % interval {found.between}, {found.images:,} {found.examples})"


def test_note(
    session: Session, job: JobRecord, data: DatasetInfo, measured: Sequence[Measurement]
) -> str | None:
    """Why some of the files have no figure on test; None if all have one."""
    if all(one.has_score("test") for one in measured):
        return None
    if "test" not in data.splits:
        return NO_TEST_SPLIT
    return f"{_why_untested(session, job)}; {_TOO_HIGH}"


def _why_untested(session: Session, job: JobRecord) -> str:
    state = JobState(job.state)
    if not state.is_finished:
        return "the files of the front are measured on test once the search is over"
    if state is not JobState.SUCCEEDED:
        return f"the job was {state} before the files of its front were measured on test"
    failed = [
        trial
        for trial in trials.of_job(session, job.id, phase=Phase.TEST)
        if trial.state == TrialState.FAILED
    ]
    if failed:
        return f"not every file could be measured on test: {failed[0].reason}"
    return (
        "the job ended before files were measured on test that were not retrained: only those of "
        "the finish phase and the baseline were"
    )
