"""When a report's numbers are worth less than they look, in sentences with a way out.

Accuracies are shares of counted images, so their uncertainty is known (``compress.wilson``). A leak
is a grave thing to warn of, so there the intervals are those of three standard deviations: two
accuracies differ where they do not meet.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

from compress import wilson
from compress.inspection import DatasetInfo
from compress.measurement import TRAIN_SAMPLE, Measurement
from compress.wilson import Interval
from featherweight.specs.schemas import FinalistSchema

_DEVIATIONS = 3.0
_ROUNDED = 0.005
"""Half a point: how far a figure that somebody wrote down may be from what was counted."""


def leaked_validation(
    baseline: Measurement | None, data: DatasetInfo, *, expected_accuracy: float | None
) -> Iterator[str]:
    """Whether an uploaded model was trained on the images that it is validated on.

    It answers them no worse than its training images, and far better than the test split, or than
    what its user knows of it. Nothing is said without either of the two, nor of a model that was
    trained here.
    """
    if baseline is None or "train" not in baseline.accuracy:
        return
    found = {
        split: wilson.interval(accuracy, _images(data, split), deviations=_DEVIATIONS)
        for split, accuracy in baseline.accuracy.items()
    }
    if found["validation"].high < found["train"].low:
        return
    lower = [f"{value:.2%} {what}" for what, value in _lower(baseline, found, expected_accuracy)]
    if lower:
        yield (
            f"the validation split looks as if the model had been trained on it: "
            f"{baseline.accuracy['validation']:.2%} there and {baseline.accuracy['train']:.2%} on "
            f"training images, but {' and '.join(lower)}. The search would choose by images that "
            f"say nothing: {_way_out(data)}"
        )


def _lower(
    baseline: Measurement, found: dict[str, Interval], expected_accuracy: float | None
) -> Iterator[tuple[str, float]]:
    least = found["validation"].low
    if "test" in found and found["test"].high < least:
        yield "on test", baseline.accuracy["test"]
    if expected_accuracy is not None and expected_accuracy + _ROUNDED < least:
        yield "expected", expected_accuracy


def _images(data: DatasetInfo, split: str) -> int:
    images = data.splits[split]  # pyright: ignore[reportArgumentType]
    return min(images, TRAIN_SAMPLE) if split == "train" else images


def _way_out(data: DatasetInfo) -> str:
    held_out = "the split was held out of the training images here; " if data.held_out else ""
    return (
        f"{held_out}upload the data with x_validation and y_validation that the model has never "
        "seen, such as a part of the test images, and submit the job again"
    )


def wide_spread(finalists: Sequence[FinalistSchema], front: Sequence[Measurement]) -> Iterator[str]:
    """Whether seeds alone move the accuracy by more than neighbours of the front are apart.

    The spread is pooled over the finalists that ran with several seeds.
    """
    degrees = sum(len(one.trials) - 1 for one in finalists)
    if not degrees:
        return
    squares = sum((len(one.trials) - 1) * one.validation_std**2 for one in finalists)
    spread = math.sqrt(squares / degrees)
    by_size = sorted(front, key=lambda one: one.size_bytes)
    steps = [abs(b.value("accuracy") - a.value("accuracy")) for a, b in pairwise(by_size)]
    close = [step for step in steps if step < spread]
    if close:
        yield (
            f"{len(close)} of {len(steps)} steps between neighbours of the front are smaller than "
            f"what seeds alone change, {100 * spread:.2f} points of accuracy (typically "
            f"{100 * statistics.median(close):.2f}): which of these files is better is uncertain; "
            "retrain more finalists with more seeds (finish.trials), or take the smaller file"
        )
