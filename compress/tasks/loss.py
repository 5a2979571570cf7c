"""Cross-entropy of classes, and what may be adjusted in it.

Legend: R rows of logits, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from compress.values.schedule import LossSettings

IGNORED = -100
"""The label of a row that does not count."""


def cross_entropy(
    logits_RK: Tensor, labels_R: Tensor, *, settings: LossSettings, counts: Sequence[int] = ()
) -> Tensor:
    """Return the mean loss over rows; ``counts`` are the examples of each class in training."""
    if settings.is_plain:
        return functional.cross_entropy(logits_RK, labels_R, ignore_index=IGNORED)
    if settings.margin:
        right = functional.one_hot(labels_R.clamp_min(0), logits_RK.shape[-1])
        logits_RK = logits_RK - settings.margin * right
    weight_K = None
    if settings.class_weight and counts:
        weight_K = class_weights(counts, settings.class_weight).to(logits_RK)
    return functional.cross_entropy(
        logits_RK / settings.temperature,
        labels_R,
        weight=weight_K,
        ignore_index=IGNORED,
        label_smoothing=settings.label_smoothing,
    )


def class_weights(counts: Sequence[int], power: float) -> Tensor:
    """Return ``(N / (K n_k)) ** power``; a class without examples counts as one that has one."""
    counts_K = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    return (counts_K.sum() / (len(counts) * counts_K)) ** power
