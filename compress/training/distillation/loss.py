"""Losses between the logits of a student and of its teacher: means over the batch.

Every soft term is zero when the two agree. Those that soften both distributions by ``T`` carry the
factor ``T^2`` of Hinton et al. (arXiv:1503.02531, section 2): both flatten with ``T``, which
shrinks the gradient by ``1 / T^2``.

Legend: B images, K classes; ``temperature`` is T; p the teacher's, q the student's softmax at T.
"""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from compress.tasks.answers import CLASSES, Answers
from compress.training.distillation.settings import LOSSES_OF_ALL, Teaching
from compress.values.errors import InvalidCandidate

_LEAST_CLASSES = 2
_LEAST_DEVIATION = 0.05
"""Logits that are closer to each other than this say nothing about the classes."""


def distillation_loss(
    student_BK: Tensor,
    teacher_BK: Tensor,
    labels_B: Tensor,
    config: Teaching,
    *,
    hard: Tensor,
    answers: Answers = CLASSES,
) -> Tensor:
    """Return ``(1 - w) hard + w soft(teacher)``; ``hard`` is the task's mean loss of the labels.

    ``answers`` say what the outputs mean.
    """
    if not answers.are_classes:
        soft = soft_loss_of(student_BK, teacher_BK, config, answers=answers)
    else:
        soft = soft_loss(student_BK, teacher_BK, labels_B, config)
    return (1 - config.weight) * hard + config.weight * soft


def soft_loss_of(student: Tensor, teacher: Tensor, config: Teaching, *, answers: Answers) -> Tensor:
    """Return the teacher's part of the loss for outputs that are no classes of an example.

    Raises InvalidCandidate for a form that only logits of classes have.
    """
    match config.loss:
        case "kl":
            return answers.divergence(teacher, student, temperature=config.temperature)
        case "reverse_kl":
            return answers.divergence(student, teacher, temperature=config.temperature)
        case "mse":
            return answers.squared_error(teacher, student)
        case _:
            raise InvalidCandidate(
                f"distillation: loss={config.loss!r} compares one class with the others, and the "
                "task's answers are not one class for each example: use one of "
                f"{', '.join(LOSSES_OF_ALL)}"
            )


def soft_loss(student_BK: Tensor, teacher_BK: Tensor, labels_B: Tensor, config: Teaching) -> Tensor:
    """Return the teacher's part of the loss, in the form that the config names."""
    temperature = config.temperature
    match config.loss:
        case "kl":
            return kl(student_BK, teacher_BK, temperature=temperature)
        case "reverse_kl":
            return kl(teacher_BK, student_BK, temperature=temperature)
        case "standardised":
            return kl(standardised(student_BK), standardised(teacher_BK), temperature=temperature)
        case "decoupled":
            target, others = decoupled(student_BK, teacher_BK, labels_B, temperature=temperature)
            return config.alpha * target + config.beta * others
        case "js":
            return jensen_shannon(student_BK, teacher_BK, temperature=temperature)
        case "mse":
            return functional.mse_loss(student_BK, teacher_BK) / 2
        case _:
            assert_never(config.loss)


def kl(student_BK: Tensor, teacher_BK: Tensor, *, temperature: float) -> Tensor:
    """Return ``T^2 KL(p || q)``.

    Hinton et al., section 2, with the Kullback-Leibler divergence in place of the paper's
    cross-entropy: the gradient is the same. With the arguments swapped it is the reverse
    divergence, ``T^2 KL(q || p)``, which would rather miss a class than invent one
    (Gu et al., arXiv:2306.08543, section 2.1).
    """
    student = functional.log_softmax(student_BK / temperature, dim=1)
    teacher = functional.log_softmax(teacher_BK / temperature, dim=1)
    return temperature**2 * _divergence(teacher, student)


def standardised(logits_BK: Tensor) -> Tensor:
    """Scale every image's logits to mean 0 and deviation 1.

    Sun et al., Logit Standardization in Knowledge Distillation, arXiv:2403.01427, equation 13: a
    small student need not match the size of its teacher's logits, only their pattern. Deviations
    below 0.05 count as 0.05, while the paper adds 1e-7 to each. So no gradient grows by more than a
    factor of 20 on its way through, and ``kl`` of two standardised answers has a gradient of at
    most ``20 sqrt(2) T`` per image. Equal logits become zeros.
    """
    centred_BK = logits_BK - logits_BK.mean(1, keepdim=True)
    # Bounded before the root, which has no gradient at zero.
    variance_B1 = centred_BK.square().mean(1, keepdim=True)
    return centred_BK / variance_B1.clamp_min(_LEAST_DEVIATION**2).sqrt()


def decoupled(
    student_BK: Tensor, teacher_BK: Tensor, labels_B: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return ``T^2 KL`` of the target against the rest, and ``T^2 KL`` among the other classes.

    Zhao et al., Decoupled Knowledge Distillation, arXiv:2203.08679, equations 5 to 7. With the
    second weighted by the teacher's doubt ``1 - p_target``, image by image, the two would add up to
    ``kl``. Here both have one weight for all images, as in the paper's equation 7. With two classes
    there is only one other, and the second part is 0. Raises InvalidCandidate for one class.
    """
    if student_BK.shape[1] < _LEAST_CLASSES:
        raise InvalidCandidate(
            "distillation: loss='decoupled' tells one class from the others, so it needs at least "
            f"{_LEAST_CLASSES} classes, got {student_BK.shape[1]}: use another loss"
        )
    student, student_others = _split(student_BK / temperature, labels_B)
    teacher, teacher_others = _split(teacher_BK / temperature, labels_B)
    return (
        temperature**2 * _divergence(teacher, student),
        temperature**2 * _divergence(teacher_others, student_others),
    )


def jensen_shannon(student_BK: Tensor, teacher_BK: Tensor, *, temperature: float) -> Tensor:
    """Return ``T^2 (KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``; at most ``T^2 ln 2``.

    Lin, Divergence measures based on the Shannon entropy (IEEE Trans. Inf. Theory 37, 1991),
    equation 3.1; as a distillation loss in Wen et al., arXiv:2307.15190, section 3. If the two
    nearly agree, it is a quarter of the Kullback-Leibler divergence.
    """
    student = functional.log_softmax(student_BK / temperature, dim=1)
    teacher = functional.log_softmax(teacher_BK / temperature, dim=1)
    middle = torch.logaddexp(student, teacher) - torch.log(student.new_tensor(2.0))
    both = _divergence(teacher, middle) + _divergence(student, middle)
    return temperature**2 * both / 2


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return the mean over the batch of KL(p || q), given log-probabilities ``(B, K)``."""
    return functional.kl_div(q, p, reduction="batchmean", log_target=True)


def _split(logits_BK: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities ``(B, 2)`` of target and rest, ``(B, K - 1)`` within the rest."""
    log_p_BK = functional.log_softmax(logits_BK, dim=1)
    is_target_BK = functional.one_hot(labels_B, logits_BK.shape[1]).bool()
    others_BK = logits_BK[~is_target_BK].view(len(logits_BK), -1)
    target_B = log_p_BK[is_target_BK]
    rest_B = log_p_BK[~is_target_BK].view(len(logits_BK), -1).logsumexp(1)
    return torch.stack((target_B, rest_B), dim=1), functional.log_softmax(others_BK, dim=1)
