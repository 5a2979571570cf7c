"""The distillation loss.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv:1503.02531,
section 2. The soft term is the Kullback-Leibler divergence in place of the paper's cross-entropy:
the same gradient, and zero when the student agrees with the teacher.

Legend: B images, K classes; ``temperature`` is the paper's T.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def soft_loss(student_BK: Tensor, teacher_BK: Tensor, *, temperature: float) -> Tensor:
    """``T^2 KL(teacher || student)`` of the softened distributions, mean over the batch.

    The factor keeps the size of its gradient independent of T: both distributions flatten with T,
    which shrinks the gradient by ``1 / T^2``.
    """
    student = functional.log_softmax(student_BK / temperature, dim=1)
    teacher = functional.log_softmax(teacher_BK / temperature, dim=1)
    divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def distillation_loss(
    student_BK: Tensor,
    teacher_BK: Tensor,
    labels_B: Tensor,
    *,
    temperature: float,
    weight: float,
) -> Tensor:
    """``(1 - w) CE(labels) + w T^2 KL(teacher || student)``, mean over the batch."""
    hard = functional.cross_entropy(student_BK, labels_B)
    soft = soft_loss(student_BK, teacher_BK, temperature=temperature)
    return (1 - weight) * hard + weight * soft
