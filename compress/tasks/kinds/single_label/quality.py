"""The quality of a classifier's answers, metric by metric.

Shapes: N examples, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compress.values.measurement import Metric

_TOP = 5
_BINS = 15
_CHUNK = 4096
"""Examples whose answers are ranked at once."""


@dataclass(frozen=True, kw_only=True)
class ClassAnswers:
    """Finite logits ``(N, K)`` with the labels ``(N,)`` of the same examples; N is at least 1.

    The answer to an example is the class with the largest logit, the first one on a tie.
    """

    logits_NK: NDArray[np.float32]
    labels_N: NDArray[np.int64]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted class of each example."""
        return self.logits_NK.argmax(axis=1)

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether each prediction is the label."""
        return self.predicted == self.labels_N

    @cached_property
    def correct(self) -> NDArray[np.int64]:
        """The number of right predictions of each class."""
        return self._counts(self.labels_N[self.is_right])

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of examples of each class."""
        return self._counts(self.labels_N)

    @cached_property
    def answered(self) -> NDArray[np.int64]:
        """The number of predictions of each class, right or wrong."""
        return self._counts(self.predicted)

    def _counts(self, classes_N: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(classes_N, minlength=self.logits_NK.shape[1])


def accuracy(answers: ClassAnswers) -> float:
    """Return the share of examples whose prediction is their label."""
    return float(answers.is_right.mean())


def top5_accuracy(answers: ClassAnswers) -> float:
    """Return the share of examples whose label is among the five largest logits.

    Of equal logits, the first ones count as larger.
    With five classes or fewer it is always 1.
    """
    count = len(answers.labels_N)
    chunks = (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))
    return sum(int((_ranks(answers, chunk) < _TOP).sum()) for chunk in chunks) / count


def _ranks(answers: ClassAnswers, chunk: slice) -> NDArray[np.int64]:
    """Return the rank of each label among the logits of its example, from 0."""
    logits_NK, labels_N = answers.logits_NK[chunk], answers.labels_N[chunk]
    own_N1 = np.take_along_axis(logits_NK, labels_N[:, None], axis=1)
    is_before_NK = np.arange(logits_NK.shape[1]) < labels_N[:, None]
    return ((logits_NK > own_N1) | ((logits_NK == own_N1) & is_before_NK)).sum(axis=1)


def macro_f1(answers: ClassAnswers) -> float:
    """Return the mean over classes of F1, which is ``2 TP / (2 TP + FP + FN)``.

    Each class has the same weight, however many examples it has. A class with neither examples nor
    predictions is left out.
    """
    both = answers.counts + answers.answered
    occurs = both > 0
    return float((2 * answers.correct[occurs] / both[occurs]).mean())


def balanced_accuracy(answers: ClassAnswers) -> float:
    """Return the mean recall over classes: the share of a class's examples that are right.

    Each class has the same weight, however many examples it has. A class without examples is left
    out.
    """
    return float(_recalls(answers).mean())


def least_recall(answers: ClassAnswers) -> float:
    """Return the recall of the class that is answered worst, of those that have examples."""
    return float(_recalls(answers).min())


def calibration_error(answers: ClassAnswers) -> float:
    """Return how far confidence is from accuracy, a mean over 15 bins weighted by their examples.

    Guo et al., On Calibration of Modern Neural Networks, arXiv:1706.04599, equation 3: bins of
    equal width by the largest softmax.
    """
    logits_NK = answers.logits_NK.astype(np.float64)
    spread_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    confidence_N = 1 / spread_NK.sum(axis=1)
    bins_N = np.minimum((confidence_N * _BINS).astype(np.int64), _BINS - 1)
    gap_B = np.bincount(bins_N, weights=confidence_N - answers.is_right, minlength=_BINS)
    return float(np.abs(gap_B).sum() / len(confidence_N))


def _recalls(answers: ClassAnswers) -> NDArray[np.float64]:
    occurs = answers.counts > 0
    return answers.correct[occurs] / answers.counts[occurs]


MEASURED: Mapping[Metric, Callable[[ClassAnswers], float]] = {
    "accuracy": accuracy,
    "top5_accuracy": top5_accuracy,
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "least_recall": least_recall,
    "calibration_error": calibration_error,
}
"""Every metric of the answers, by its name in ``METRICS``."""
