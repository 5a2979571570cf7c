import math

import pytest
import torch
from torch.nn import functional

from compress.techniques.distillation.loss import distillation_loss, soft_loss

LABELS = torch.tensor([0, 2])
STUDENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, -1.0]])
TEACHER = torch.tensor([[3.0, 0.0, -1.0], [0.2, 0.1, 2.0]])


def test_the_soft_loss_of_two_classes_is_its_closed_form():
    student, teacher, temperature = 0.4, -1.3, 3.0
    p = 1 / (1 + math.exp(-teacher / temperature))
    q = 1 / (1 + math.exp(-student / temperature))
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    found = soft_loss(
        torch.tensor([[student, 0.0]]), torch.tensor([[teacher, 0.0]]), temperature=temperature
    )
    assert float(found) == pytest.approx(temperature**2 * divergence, rel=1e-5)


def test_a_student_that_agrees_with_its_teacher_has_no_soft_loss():
    shifted = TEACHER + torch.tensor([[5.0], [-7.0]])
    assert float(soft_loss(shifted, TEACHER, temperature=4.0)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_gradient_is_t_times_the_difference_of_the_softened_distributions(temperature):
    student = STUDENT.clone().requires_grad_()
    soft_loss(student, TEACHER, temperature=temperature).backward()
    difference = (STUDENT / temperature).softmax(1) - (TEACHER / temperature).softmax(1)
    torch.testing.assert_close(student.grad, temperature * difference / len(STUDENT))


def test_the_size_of_the_gradient_does_not_vanish_with_the_temperature():
    sizes = []
    for temperature in (50.0, 100.0):
        student = STUDENT.clone().requires_grad_()
        soft_loss(student, TEACHER, temperature=temperature).backward()
        sizes.append(float(student.grad.norm()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_the_weight_shares_the_loss_between_labels_and_teacher():
    hard = functional.cross_entropy(STUDENT, LABELS)
    soft = soft_loss(STUDENT, TEACHER, temperature=2.0)
    for weight, expected in ((0.0, hard), (1.0, soft), (0.3, 0.7 * hard + 0.3 * soft)):
        found = distillation_loss(STUDENT, TEACHER, LABELS, temperature=2.0, weight=weight)
        torch.testing.assert_close(found, expected)
