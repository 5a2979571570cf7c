"""Numbers to predict, one or more for each example.

Legend: N examples, B examples of a batch, T numbers of an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compress.tasks import loading
from compress.tasks.answers import Answers, Numbers
from compress.tasks.images import ImageData
from compress.tasks.task import Batch, Task
from compress.values.measurement import Metric


@dataclass(frozen=True)
class Regression(Task):
    """The answer is the number itself; ``deviation`` is that of the targets in training, ``(T,)``.

    Errors are learned from in units of it, whatever the targets' own unit.
    """

    name = "regression"
    primary = "r2"
    view_revision = 1
    deviation: tuple[float, ...] | None = None

    @property
    def answers(self) -> Answers:
        """Numbers with errors in units of the targets' deviation."""
        return Numbers(self.deviation)

    def of(self, data: ImageData) -> Regression:
        """Measure the deviation of the targets in training."""
        std_T = data.train.y_N.double().std(dim=0, correction=0)
        return Regression(deviation=tuple(std_T.tolist()))

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error in units of the targets' deviation, halved."""
        wanted_BT = batch.labels_B.to(outputs_BK.dtype)
        return self.answers.divergence(wanted_BT, outputs_BK.reshape(wanted_BT.shape))

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Mapping[Metric, float]:
        """Return R2, absolute and squared error, and rank correlation: means over the T numbers."""
        said_NT, true_NT = _columns(outputs_NK), _columns(labels_N)
        error_NT = said_NT - true_NT
        return {
            "r2": r2(said_NT, true_NT),
            "mae": float(np.abs(error_NT).mean()),
            "mse": float(np.square(error_NT).mean()),
            "spearman": spearman(said_NT, true_NT),
        }

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]) -> float:
        """Return R2 alone."""
        return r2(_columns(outputs_NK), _columns(labels_N))

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return R2 of the outputs if the reference's are the truth, at least 0.

        Errors up to ``tie`` count as none.
        """
        said_NT, true_NT = _columns(outputs_NK), _columns(reference_NK)
        if tie is not None:
            apart_NT, tie_N1 = said_NT - true_NT, np.reshape(tie, (-1, 1))
            said_NT = true_NT + np.sign(apart_NT) * np.maximum(np.abs(apart_NT) - tie_N1, 0.0)
        return max(0.0, r2(said_NT, true_NT))


def r2(said_NT: NDArray[np.float64], true_NT: NDArray[np.float64]) -> float:
    """Return the coefficient of determination ``1 - SSE / SST``, a mean over the T numbers.

    Where the truth is the same for all examples it is 1 for answers that are all right, else 0.
    """
    wrong_T = np.square(said_NT - true_NT).sum(axis=0)
    total_T = np.square(true_NT - true_NT.mean(axis=0)).sum(axis=0)
    is_varied_T = total_T > 0
    share_T = np.divide(wrong_T, total_T, out=(wrong_T > 0).astype(float), where=is_varied_T)
    return float((1 - share_T).mean())


def spearman(said_NT: NDArray[np.float64], true_NT: NDArray[np.float64]) -> float:
    """Return the correlation of ranks, a mean over the T numbers; ties share their mean rank.

    0 where one of the two is the same for all examples.
    """
    pairs = zip(said_NT.T, true_NT.T, strict=True)
    return float(np.mean([_correlation(ranks(one), ranks(two)) for one, two in pairs]))


def ranks(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of every value from 0; equal values have the mean of their ranks."""
    _, place_N, count_V = np.unique(values_N, return_inverse=True, return_counts=True)
    ends_V = np.cumsum(count_V)
    return (ends_V - (count_V + 1) / 2)[place_N]


def _correlation(one_N: NDArray[np.float64], two_N: NDArray[np.float64]) -> float:
    one_N, two_N = one_N - one_N.mean(), two_N - two_N.mean()
    size = float(np.sqrt(np.square(one_N).sum() * np.square(two_N).sum()))
    return min(1.0, float((one_N * two_N).sum()) / size) if size > 0 else 0.0


def _columns(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)
