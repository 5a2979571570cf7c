"""Which weights stay: importance scores, and what is kept of them.

Magnitude: Han et al., Learning both Weights and Connections (arXiv:1506.02626), section 3.
LAMP: Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning (arXiv:2010.07611),
equation 2: ``w_i^2`` over the sum of all ``w_j^2`` of its layer that are not smaller. Wanda: Sun et
al., A Simple and Effective Pruning Approach for Large Language Models (arXiv:2306.11695), equation
1: ``|w_oi| ||x_i||_2``. N of M: Mishra et al., Accelerating Sparse Deep Neural Networks
(arXiv:2104.08378). Gradual: Zhu and Gupta, To prune, or not to prune (arXiv:1710.01878),
equation 1.

Of equal scores the one that comes first stays, so that a result depends on nothing else.

Legend: O output channels, C input channels (of one group), I everything but O, M size of a group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

_ROUNDING = 1e-9
RAMP = 0.5
"""Share of the training after which a gradual schedule has reached its final sparsity."""


def num_zeros(num_weights: int, sparsity: float) -> int:
    """Return how many of the weights become zero: rounded down, and at least one weight stays."""
    return min(num_weights - 1, math.floor(num_weights * sparsity + _ROUNDING))


def input_norms(square: Tensor, shape: torch.Size) -> Tensor:
    """Return ``||x_i||`` for every weight of ``shape``, from ``E[x^2]`` with one row per group."""
    return square.sqrt().repeat_interleave(shape[0] // len(square), dim=0)


def lamp(weight: Tensor) -> Tensor:
    """Return LAMP scores, comparable between layers and ordered like magnitudes within one."""
    squares, order = weight.double().square().flatten().sort(stable=True)
    not_smaller = squares.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = squares / not_smaller.clamp_min(torch.finfo(torch.float64).tiny)
    return scores.reshape(weight.shape)


def zeros_per_layer(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, int]:
    """Return how many zeros each layer gets if all scores are compared with each other.

    Every layer keeps at least one weight, so a few zeros may be missing in the end.
    """
    names = list(scores)
    sizes = [scores[name].numel() for name in names]
    everything = torch.cat([scores[name].flatten().double() for name in names])
    removed = everything.argsort(stable=True, descending=True)
    removed = removed[len(everything) - num_zeros(len(everything), sparsity) :]
    owner = torch.repeat_interleave(torch.arange(len(names)), torch.tensor(sizes))
    counts = torch.bincount(owner[removed], minlength=len(names)).tolist()
    return {n: min(c, size - 1) for n, c, size in zip(names, counts, sizes, strict=True)}


def gradual(progress: float) -> float:
    """Return the share of the final zeros after ``progress`` (0 to 1): ``1 - (1 - t)^3``."""
    done = min(1.0, max(0.0, progress) / RAMP)
    return 1 - (1 - done) ** 3


def largest(score: Tensor, share: float, *, zeros: int) -> Tensor:
    """Return True for all but ``share`` of the ``zeros`` smallest scores."""
    return _largest(score.flatten()[None], _part(zeros, share)).reshape(score.shape)


def largest_per_row(score_OI: Tensor, share: float, *, zeros: int) -> Tensor:
    """Return True for all but ``share`` of the ``zeros`` smallest scores of each output channel."""
    return _largest(score_OI.flatten(1), _part(zeros, share)).reshape(score_OI.shape)


def largest_of_groups(score_OC: Tensor, share: float, *, kept: int, size: int) -> Tensor:
    """Return True for the ``kept`` largest of every ``size`` consecutive input channels.

    The groups lie along axis 1, at one position of the kernel, as sparse kernels expect: in the
    flattened input dimension, channels vary fastest. Less than the whole ``share`` keeps more.
    """
    channels_last = score_OC.movedim(1, -1)
    mask = _largest(channels_last.reshape(-1, size), _part(size - kept, share))
    return mask.reshape(channels_last.shape).movedim(-1, 1)


def _largest(score_RI: Tensor, zeros: int) -> Tensor:
    """Return True, row by row, for all but the ``zeros`` smallest."""
    order_RI = score_RI.argsort(dim=1, descending=True, stable=True)
    mask_RI = torch.ones_like(score_RI, dtype=torch.bool)
    return mask_RI.scatter_(1, order_RI[:, score_RI.shape[1] - zeros :], False)


def _part(zeros: int, share: float) -> int:
    return math.floor(zeros * share + _ROUNDING)
