"""Losses between the feature maps of a student and of its teacher: means over the batch.

Each is a pure function of the two maps of one stage. Constants put the three on the scale of their
papers, so that a weight of 1 means about what the paper trained with.

Legend: B images, C channels of the student, D channels of the teacher, H height, W width,
P = H W positions, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_ATTENTION = 1000.0
"""beta of Zagoruyko and Komodakis, section 4.1, before they divide it by P."""
_DISTANCE, _ANGLE = 25.0, 50.0
"""lambda of Park et al., section 4.2, for the classification of images."""
_EPSILON = 1e-12
_SHORTEST = 1e-3
"""Lengths count as at least this share of what is usual in the batch: gradients are bounded so."""
_SMALLEST = 1e-2
"""The teacher's map counts as at least this share of the student's, in mean squares."""


def same_size(student_BCHW: Tensor, teacher_BDHW: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at the smaller height and the smaller width of the two, averaged over blocks."""
    (height, width), (other_height, other_width) = student_BCHW.shape[2:], teacher_BDHW.shape[2:]
    size = min(height, other_height), min(width, other_width)
    return _pooled(student_BCHW, size), _pooled(teacher_BDHW, size)


def hint_loss(student_BDHW: Tensor, teacher_BDHW: Tensor) -> Tensor:
    """``||r(student) - teacher||^2 / ||teacher||^2``, the student's map already regressed.

    Romero et al., FitNets, arXiv:1412.6550, equation 3, here over every stage and during the whole
    training, and relative to the teacher's map: stages of different size then count alike. At most
    121, where the teacher's map is much smaller than the student's or dead.
    """
    least = (student_BDHW.detach().square().mean() * _SMALLEST).clamp_min(_EPSILON)
    size = torch.maximum(teacher_BDHW.square().mean(), least)
    return functional.mse_loss(student_BDHW, teacher_BDHW) / size


def attention_map(x_BCHW: Tensor) -> Tensor:
    """``sum_c x_c^2`` as a vector of length 1 over the positions, ``(B, P)``.

    Zagoruyko and Komodakis, Paying More Attention to Attention, arXiv:1612.03928, section 3.1. An
    image whose map is dead, or a thousandth as long as is usual in the batch, has a shorter one.
    """
    squares_BP = x_BCHW.square().sum(1).flatten(1)
    lengths_B1 = torch.linalg.vector_norm(squares_BP, dim=1, keepdim=True)
    least = lengths_B1.detach().mean() * _SHORTEST
    return squares_BP / lengths_B1.clamp_min(least.clamp_min(_EPSILON))


def attention_loss(student_BCHW: Tensor, teacher_BDHW: Tensor) -> Tensor:
    """``beta / (2 P) ||Q_student - Q_teacher||^2`` of the attention maps.

    Equation 2 of the same paper, with the squared distance that its authors' program uses.
    """
    difference_BP = attention_map(student_BCHW) - attention_map(teacher_BDHW)
    return _ATTENTION / 2 * difference_BP.square().mean()


def relational_loss(student_BF: Tensor, teacher_BF: Tensor) -> Tensor:
    """Distances between pairs of images and angles within triples of them, Huber of both.

    Park et al., Relational Knowledge Distillation, arXiv:1904.05068, equations 5 to 10, with the
    weights of section 4.2. The widths of the two need not agree. Needs memory for B^3 floats.
    """
    distance = functional.smooth_l1_loss(distances(student_BF), distances(teacher_BF))
    angle = functional.smooth_l1_loss(angles(student_BF), angles(teacher_BF))
    return _DISTANCE * distance + _ANGLE * angle


def distances(features_BF: Tensor) -> Tensor:
    """Distances between all pairs of images, ``(B, B)``, in units of their mean.

    The mean counts as at least a thousandth of the usual length of the features.
    """
    squares_B = features_BF.square().sum(1)
    products_BB = features_BF @ features_BF.T
    squared_BB = squares_B[:, None] + squares_B[None, :] - 2 * products_BB
    # Below epsilon the root has no gradient; the diagonal is zero but for rounding.
    positive_BB = squared_BB.clamp_min(_EPSILON).sqrt()
    apart_BB = ~torch.eye(len(features_BF), dtype=torch.bool, device=features_BF.device)
    found_BB = torch.where(apart_BB, positive_BB, 0.0)
    pairs = max(1, found_BB.numel() - len(found_BB))
    return found_BB / (found_BB.sum() / pairs).clamp_min(_least_length(features_BF))


def angles(features_BF: Tensor) -> Tensor:
    """Cosine of the angle that images i and k make at image j, ``(B_j, B_i, B_k)``."""
    edges_BBF = features_BF[None, :, :] - features_BF[:, None, :]
    lengths_BB1 = torch.linalg.vector_norm(edges_BBF, dim=2, keepdim=True)
    # Images that look the same to the network have no angle; unbounded, they would set the step.
    usual = lengths_BB1.detach().mean() * _SHORTEST
    shortest = torch.maximum(usual, _least_length(features_BF))
    edges_BBF = edges_BBF / lengths_BB1.clamp_min(shortest)
    return edges_BBF @ edges_BBF.transpose(1, 2)


def _least_length(features_BF: Tensor) -> Tensor:
    """Below it, what tells two images apart is rounding."""
    usual = torch.linalg.vector_norm(features_BF.detach(), dim=1).mean()
    return (usual * _SHORTEST).clamp_min(_EPSILON)


def least_squares(student_BCHW: Tensor, teacher_BDHW: Tensor) -> Tensor:
    """The 1x1 convolution ``(D, C, 1, 1)`` that maps the student's map closest to the teacher's.

    Where FitNets trains its regressors before the student, this is where that training would end.
    """
    s_NC = student_BCHW.permute(0, 2, 3, 1).flatten(0, 2).double()
    t_ND = teacher_BDHW.permute(0, 2, 3, 1).flatten(0, 2).double()
    gram_CC = s_NC.T @ s_NC
    # A ridge of a thousandth of the mean square: dead channels would make the system singular.
    ridge = 1e-3 * gram_CC.diagonal().mean().clamp_min(_EPSILON)
    gram_CC = gram_CC + ridge * torch.eye(len(gram_CC), dtype=gram_CC.dtype, device=gram_CC.device)
    solution_CD = torch.linalg.solve(gram_CC, s_NC.T @ t_ND)
    return solution_CD.T[:, :, None, None].to(student_BCHW.dtype)


def pooled_features(x_BCHW: Tensor) -> Tensor:
    """The mean over the positions, ``(B, C)``: what a classifier usually reads."""
    return x_BCHW.mean((2, 3))


def _pooled(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x_BCHW.shape[2:]) == size:
        return x_BCHW
    return functional.adaptive_avg_pool2d(x_BCHW, size)
