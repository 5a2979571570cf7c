"""Labels that hold or not, any number of them for one example.

Legend: N examples, B examples of a batch, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compress.tasks import loading
from compress.tasks.answers import Answers, IndependentLabels
from compress.tasks.images import ImageData
from compress.tasks.task import Batch, Task
from compress.values.measurement import Metric


@dataclass(frozen=True)
class Multilabel(Task):
    """A label holds where its logit is above 0."""

    name = "multilabel"
    primary = "micro_f1"
    view_revision = 1

    @property
    def answers(self) -> Answers:
        """Logits of independent labels."""
        return IndependentLabels()

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean binary cross-entropy of the labels."""
        wanted_BK = batch.labels_B.to(outputs_BK.dtype)
        return functional.binary_cross_entropy_with_logits(outputs_BK, wanted_BK)

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Mapping[Metric, float]:
        """Return F1 over all decisions, its mean over labels, exact matches, average precision."""
        said_NK, true_NK = outputs_NK > 0, labels_N.astype(bool)
        return {
            "micro_f1": _f1(said_NK.ravel()[:, None], true_NK.ravel()[:, None]),
            "macro_f1": _f1(said_NK, true_NK),
            "exact_match": float((said_NK == true_NK).all(axis=1).mean()),
            "mean_average_precision": mean_average_precision(outputs_NK, true_NK),
        }

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]) -> float:
        """Return micro F1 alone."""
        said_N1, true_N1 = (outputs_NK > 0).ravel()[:, None], labels_N.astype(bool).ravel()[:, None]
        return _f1(said_N1, true_N1)

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the share of decisions that are the reference's.

        With ``tie``, a decision also agrees if the reference's logit is that near to 0.
        """
        same_NK = (outputs_NK > 0) == (reference_NK > 0)
        if tie is not None:
            same_NK |= np.abs(reference_NK) <= np.reshape(tie, (-1, 1))
        return float(same_NK.mean())


def _f1(said_NK: NDArray[np.bool_], true_NK: NDArray[np.bool_]) -> float:
    """Return the mean over columns of ``2 TP / (2 TP + FP + FN)``; those of no ones are left out.

    0 if no column has any.
    """
    hits_K = (said_NK & true_NK).sum(axis=0)
    both_K = said_NK.sum(axis=0) + true_NK.sum(axis=0)
    occurs = both_K > 0
    return float((2 * hits_K[occurs] / both_K[occurs]).mean()) if occurs.any() else 0.0


def mean_average_precision(outputs_NK: NDArray[np.float32], true_NK: NDArray[np.bool_]) -> float:
    """Return the mean over labels of ``sum_n (R_n - R_(n-1)) P_n``, without interpolation.

    Precision and recall are taken at every distinct logit; labels that hold for no example are left
    out. 0 if no label holds.
    """
    found = [
        _average_precision(outputs_NK[:, k], true_NK[:, k])
        for k in range(true_NK.shape[1])
        if true_NK[:, k].any()
    ]
    return float(np.mean(found)) if found else 0.0


def _average_precision(score_N: NDArray[np.float32], true_N: NDArray[np.bool_]) -> float:
    order_N = np.argsort(-score_N, kind="stable")
    score_N, hits_N = score_N[order_N], np.cumsum(true_N[order_N])
    is_last_N = np.append(score_N[1:] != score_N[:-1], True)
    hits, seen = hits_N[is_last_N], np.flatnonzero(is_last_N) + 1
    recall = hits / hits_N[-1]
    # Rounding may leave the sum above 1.
    return min(1.0, float((np.diff(recall, prepend=0.0) * hits / seen).sum()))
