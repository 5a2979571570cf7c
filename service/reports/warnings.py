"""Warn if a report's numbers are worth less than they look, and say what to do about it.

Accuracies are shares of counted images, so their uncertainty is known (``compress.values.wilson``).
To warn of a leak is serious, so intervals of three standard deviations are used there: two
accuracies differ if these do not overlap.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from compress.tasks import chance
from compress.tasks.formats.targets import called, one_class
from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import EXAMPLES
from compress.values import revision, wilson
from compress.values.measurement import METRICS, Measurement, Metric, Split
from compress.values.wilson import ConfidenceInterval
from featherweight.specs.job import JobSpec
from featherweight.specs.objective import MetricSchema
from featherweight.specs.schemas import FinalistSchema, FrontPoint
from service.reports import accuracies

_DEVIATIONS = 3.0
_MOST_NAMED = 5
_ROUNDED = 0.005
"""Half a point: how far a rounded figure may be from the counted one."""


_WIDE = 0.05
"""An interval of more points than this is reported."""
_COLLAPSED = 0.5
"""A class is named if it keeps at most this share of its recall."""
_SEARCHED: tuple[Split, ...] = ("validation", "test")


def of_job(spec: JobSpec, data: DatasetInfo, baseline: Measurement | None) -> tuple[str, ...]:
    """Return what is wrong with a job's data and, once it is measured, with its baseline."""
    return tuple(dict.fromkeys([*of_data(data), *of_baseline(spec, data, baseline)]))


def of_data(data: DatasetInfo) -> Iterator[str]:
    """Yield findings of the upload, and splits with one class, which older uploads lack."""
    for split in _SEARCHED:
        counts = data.class_counts.get(split, ())
        if sum(count > 0 for count in counts) == 1:
            yield one_class(split, counts, data.class_names, examples=EXAMPLES[data.task])
    yield from data.warnings


def of_baseline(spec: JobSpec, data: DatasetInfo, baseline: Measurement | None) -> Iterator[str]:
    """Yield warnings of a baseline that knows nothing, or that knows the validation images."""
    if baseline is None:
        return
    for split in _SEARCHED:
        if said := chance.no_better(baseline, split, data):
            yield f"the baseline is {said}; {chance.WAYS_OUT[data.task]}"
    yield from leaked_validation(baseline, data, expected_accuracy=spec.expected_accuracy)


def of_files(
    spec: JobSpec, data: DatasetInfo, baseline: Measurement | None, taken: FrontPoint | None
) -> Iterator[str]:
    """Yield all of ``of_job``, and what is wrong with the recommended file."""
    yield from of_job(spec, data, baseline)
    if taken is None or baseline is None:
        return
    for split in _SEARCHED:
        if said := chance.no_better(taken.measurement, split, data):
            yield f"the recommended file is {said}"
    yield from missed_on_test(spec, taken.measurement, baseline)
    yield from collapsed_classes(taken.measurement, baseline, data)
    yield from few_examples(taken, EXAMPLES[data.task])


def missed_on_test(spec: JobSpec, taken: Measurement, baseline: Measurement) -> Iterator[str]:
    """Yield quality bounds that the file meets on validation, which chose it, but not on test.

    Nothing is said of a file that misses them on validation too, as that is already reported.
    """
    if not (taken.has_score("test") and baseline.has_score("test")):
        return
    file, first = taken.seen_on("test"), baseline.seen_on("test")
    for bound in (each for each in spec.constraints if METRICS[each.metric].is_quality):
        now, before = file.known(bound.metric), first.known(bound.metric)
        if now is None or before is None:
            continue
        if bound.violation(taken, baseline) <= 0 < bound.violation(file, first):
            yield (
                f"on test the recommended file does not meet {bound.label}: "
                f"{_shown(bound.metric, now)}, and the baseline {_shown(bound.metric, before)}. "
                "It does on validation, by which it was chosen: take a file with more to spare, or "
                f"give more validation {EXAMPLES[spec.task]}"
            )


def _shown(metric: Metric, value: float) -> str:
    return MetricSchema.of(metric).shown(value)


def collapsed_classes(
    taken: Measurement, baseline: Measurement, data: DatasetInfo
) -> Iterator[str]:
    """Yield classes whose recall is at most half of that of the baseline, beyond chance."""
    for split in _SEARCHED:
        columns = (
            data.class_counts.get(split, ()),
            baseline.class_correct.get(split, ()),
            taken.class_correct.get(split, ()),
        )
        found = [
            f"class {called(label, data.class_names)} from {before / images:.0%} to "
            f"{now / images:.0%} of {images:,}"
            for label, (images, before, now) in enumerate(zip(*columns, strict=False))
            if _has_collapsed(images, before, now)
        ]
        if found:
            more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
            yield (
                f"the recommended file has lost classes on {split} that the baseline knows: "
                f"{', '.join(found[:_MOST_NAMED])} {EXAMPLES[data.task]}{more}"
            )


def _has_collapsed(images: int, before: int, now: int) -> bool:
    if not 0 < before <= images or not now <= _COLLAPSED * before:
        return False
    least = wilson.interval(before / images, images).low
    return wilson.interval(now / images, images).high < least


def few_examples(taken: FrontPoint, examples: str) -> Iterator[str]:
    """Yield splits on which chance alone moves the file's accuracy by points."""
    for split, found in (("validation", taken.validation), ("test", taken.test)):
        if found is not None and found.high - found.low > _WIDE:
            yield (
                f"{split} has {found.images:,} {examples}: {found.metric.words} of {found.words} "
                f"there means {found.between} (95 % interval), and smaller "
                f"differences between files mean nothing; give it more {examples}"
            )


def leaked_validation(
    baseline: Measurement | None, data: DatasetInfo, *, expected_accuracy: float | None
) -> Iterator[str]:
    """Yield a warning if an uploaded model seems to be trained on the validation images.

    It answers them no worse than its training images, and far better than the test split, or than
    the accuracy that its user knows. Nothing is said without either of the two, or of a model that
    was trained here.
    """
    if baseline is None or "train" not in baseline.accuracy:
        return
    found = {
        split: wilson.interval(accuracy, accuracies.num_images(data, split), deviations=_DEVIATIONS)
        for split, accuracy in baseline.accuracy.items()
    }
    if found["validation"].high < found["train"].low:
        return
    lower = [f"{value:.2%} {what}" for what, value in _lower(baseline, found, expected_accuracy)]
    if lower:
        yield (
            f"the validation split looks as if the model had been trained on it: "
            f"{baseline.accuracy['validation']:.2%} there and {baseline.accuracy['train']:.2%} on "
            f"training {EXAMPLES[data.task]}, but {' and '.join(lower)}. The search would choose "
            f"by {EXAMPLES[data.task]} that say nothing: {_way_out(data)}"
        )


def _lower(
    baseline: Measurement, found: dict[str, ConfidenceInterval], expected_accuracy: float | None
) -> Iterator[tuple[str, float]]:
    least = found["validation"].low
    if "test" in found and found["test"].high < least:
        yield "on test", baseline.accuracy["test"]
    if expected_accuracy is not None and expected_accuracy + _ROUNDED < least:
        yield "expected", expected_accuracy


def _way_out(data: DatasetInfo) -> str:
    examples = EXAMPLES[data.task]
    held_out = f"the split was held out of the training {examples} here; " if data.held_out else ""
    return (
        f"{held_out}upload the data with x_validation and y_validation that the model has never "
        f"seen, such as a part of the test {examples}, and submit the job again"
    )


def mixed_revisions(measured: Sequence[Measurement]) -> Iterator[str]:
    """Yield a warning if several revisions of the engine, or an older one, made the job's files."""
    found = Counter(one.engine_revision for one in measured)
    if len(found) > 1:
        counted = ", ".join(f"{found[one]} by revision {one}" for one in sorted(found))
        yield (
            f"the job's files were made by several revisions of the engine ({counted}): the same "
            "candidate and seed may give other figures, so small differences between them say "
            "little; submit the job again to compare like with like"
        )
    elif found and revision.differs(next(iter(found))):
        yield (
            f"the job's files were made by revision {next(iter(found))} of the engine, this is "
            f"revision {revision.ENGINE_REVISION}: a re-run may give other figures"
        )


def wide_spread(finalists: Sequence[FinalistSchema], front: Sequence[Measurement]) -> Iterator[str]:
    """Yield a warning if seeds change the accuracy more than neighbours of the front differ.

    The spread is pooled over the finalists that ran with several seeds.
    """
    degrees = sum(len(one.trials) - 1 for one in finalists)
    if not degrees:
        return
    squares = sum((len(one.trials) - 1) * one.validation_std**2 for one in finalists)
    spread = math.sqrt(squares / degrees)
    by_size = sorted(front, key=lambda one: one.size_bytes)
    steps = [abs(b.score() - a.score()) for a, b in pairwise(by_size)]
    close = [step for step in steps if step < spread]
    if close:
        yield (
            f"{len(close)} of {len(steps)} steps between neighbours of the front are smaller than "
            f"what seeds alone change, {100 * spread:.2f} points of quality (typically "
            f"{100 * statistics.median(close):.2f}): which of these files is better is uncertain; "
            "retrain more finalists with more seeds (finish.trials), or take the smaller file"
        )
