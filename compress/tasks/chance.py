"""Tell whether a network answers better than someone who never looks at an example. Torch-free.

Legend: K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from compress.tasks.formats.targets import called
from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import EXAMPLES, TaskName
from compress.values import wilson
from compress.values.measurement import METRICS, Measurement, Split

_CHECK = (
    "check that the weights are the trained ones, that the normalisation is the one they were "
    "trained with, in the units of the uploaded values, that classes are numbered as in training, "
    "and that"
)
WAYS_OUT: Mapping[TaskName, str] = {
    "image_classification": f"{_CHECK} images have the layout (N, H, W, C)",
    **dict.fromkeys(
        ("classification", "multilabel", "regression"),
        f"{_CHECK} columns or axes are in the order of the training",
    ),
    **dict.fromkeys(
        ("text_classification", "text_matching", "sequence_labelling"),
        f"{_CHECK} ids of words are those of the training",
    ),
    "unlabelled": f"{_CHECK} the file answers always in the same way",
}
_WORTHLESS: Mapping[TaskName, str] = {
    "regression": "no better than always answering the mean",
    "multilabel": "no better than finding no label",
    "sequence_labelling": "no better than finding nothing",
}


def no_better(measurement: Measurement, split: Split, data: DatasetInfo) -> str | None:
    """Say how far a file is from beating who never looks at an example; None if it is better.

    Of classes it is better if the lower end of the 95 % interval of its accuracy is above the share
    of the most frequent one; of numbers, tags and labels if that of its primary metric is above 0,
    which the mean of all numbers, and finding nothing, have. Returns None, too, if it was not
    measured on the split.
    """
    if data.task in _WORTHLESS:
        return _worthless(measurement, split, data)
    counts_K = data.class_counts.get(split)
    if split not in measurement.accuracy or not counts_K:
        return None
    label, most = max(enumerate(counts_K), key=lambda each: each[1])
    accuracy, total = measurement.accuracy[split], sum(counts_K)
    found = wilson.interval(accuracy, total)
    if found.low > most / total:
        return None
    return (
        f"no better than always answering class {called(label, data.class_names)}: "
        f"{accuracy:.2%} of {total:,} {split} {EXAMPLES[data.task]} are right (95 % interval "
        f"{found.low:.2%} to {found.high:.2%}), and "
        f"{most / total:.2%} of them are of class {label}"
    )


def _worthless(measurement: Measurement, split: Split, data: DatasetInfo) -> str | None:
    if split not in measurement.intervals or not measurement.has_score(split):
        return None
    low, high = measurement.intervals[split]
    if low > 0:
        return None
    metric = METRICS[measurement.primary]
    value = measurement.quality[split][measurement.primary]
    return (
        f"{_WORTHLESS[data.task]}: {metric.words} on {data.splits[split]:,} {split} "
        f"{EXAMPLES[data.task]} is {value:.4g} (95 % interval {low:.4g} to {high:.4g})"
    )


def at_chance(measurement: Measurement, data: DatasetInfo) -> str | None:
    """Return ``no_better`` on validation, but None for a file that tells rare classes apart.

    If most of the split is one class, a good network may have no higher accuracy than always
    answering that class.
    """
    said = no_better(measurement, "validation", data)
    correct_K = measurement.class_correct.get("validation")
    if said is None or (correct_K and _tells_apart(correct_K, data.class_counts["validation"])):
        return None
    return said


def _tells_apart(correct_K: Sequence[int], counts_K: Sequence[int]) -> bool:
    """Test whether answers depend on labels, by the sum of the recalls.

    Answers that do not depend on the label have the recalls ``p_k``, the shares of class k among
    all answers, whose sum is at most 1. The sum less 1 is (K - 1) times Youden's index (Cancer 3,
    1950) of K classes. It must be above 0 by 1.96 standard deviations; one example is added to
    either side of each recall, so that none is certain.
    """
    present = [(right, n) for right, n in zip(correct_K, counts_K, strict=False) if n > 0]
    smooth = [(right + 1) / (n + 2) for right, n in present]
    variance = sum(p * (1 - p) / n for p, (_, n) in zip(smooth, present, strict=True))
    excess = sum(right / n for right, n in present) - 1
    return excess > wilson.DEVIATIONS * math.sqrt(variance)
