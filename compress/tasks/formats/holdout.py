"""Hold out a validation split from a dataset that has none. Torch-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHARE = 0.2
_SEED = 20_260_101
"""Constant: every job on the same data validates on the same images, whatever its own seed."""


def hold_out(
    labels_N: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sorted indices ``(train, validation)``: a fifth of the images, stratified by class.

    Counts are rounded over the running total, so that many small classes still give a fifth
    together. Every class keeps at least one training image.
    """
    order_N = np.random.default_rng(_SEED).permutation(len(labels_N))
    order_N = order_N[np.argsort(labels_N[order_N], kind="stable")]
    counts_K = np.bincount(labels_N, minlength=num_classes)
    ends_K = np.cumsum(counts_K)
    marks_K = np.floor(ends_K * SHARE + 0.5).astype(np.int64)
    taken_K = np.minimum(np.diff(marks_K, prepend=0), np.maximum(counts_K - 1, 0))
    rank_N = np.arange(len(labels_N)) - np.repeat(ends_K - counts_K, counts_K)
    held_N = rank_N < np.repeat(taken_K, counts_K)
    return np.sort(order_N[~held_N]), np.sort(order_N[held_N])
