import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.training.distillation import apply as distillation
from compress.techniques.training.distillation.config import Distillation
from compress.training.context import TrialContext
from compress.training.distillation.loss import (
    decoupled,
    distillation_loss,
    jensen_shannon,
    kl,
    soft_loss,
    standardised,
)
from compress.values.errors import InvalidCandidate
from tests.devices import DEVICE

LABELS = torch.tensor([0, 2])
STUDENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, -1.0]])
TEACHER = torch.tensor([[3.0, 0.0, -1.0], [0.2, 0.1, 2.0]])
FORMS = ("kl", "standardised", "decoupled", "js", "mse", "reverse_kl")
SOFTENED = ("kl", "standardised", "decoupled", "js", "reverse_kl")


def gradient(config, student=STUDENT):
    student = student.clone().requires_grad_()
    soft_loss(student, TEACHER, LABELS, config).backward()
    return student.grad


def two_classes(logit, temperature):
    p = 1 / (1 + math.exp(-logit / temperature))
    return p, 1 - p


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_the_divergences_of_two_classes_are_their_closed_forms():
    student, teacher, temperature = 0.4, -1.3, 3.0
    p, q = two_classes(teacher, temperature), two_classes(student, temperature)
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    logits = torch.tensor([[student, 0.0]]), torch.tensor([[teacher, 0.0]])
    forwards = kl(*logits, temperature=temperature)
    backwards = soft_loss(
        *logits, LABELS[:1], Distillation(loss="reverse_kl", temperature=temperature)
    )
    shannon = jensen_shannon(*logits, temperature=temperature)
    assert float(forwards) == pytest.approx(9 * divergence(p, q), rel=1e-4)
    assert float(backwards) == pytest.approx(9 * divergence(q, p), rel=1e-4)
    expected = 9 * (divergence(p, m) + divergence(q, m)) / 2
    assert float(shannon) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_student_that_agrees_with_its_teacher_has_no_soft_loss(form):
    config = Distillation(loss=form)
    assert float(soft_loss(TEACHER, TEACHER, LABELS, config)) == pytest.approx(0, abs=1e-5)
    assert float(soft_loss(STUDENT, TEACHER, LABELS, config)) > 0.01


@pytest.mark.parametrize("form", FORMS)
def test_following_the_gradient_brings_the_student_closer(form):
    config = Distillation(loss=form)
    before = soft_loss(STUDENT, TEACHER, LABELS, config)
    after = soft_loss(STUDENT - 1e-3 * gradient(config), TEACHER, LABELS, config)
    assert float(after) < float(before)


@pytest.mark.parametrize("form", ["kl", "js", "decoupled", "reverse_kl"])
def test_only_the_differences_between_logits_count(form):
    shifted = STUDENT + torch.tensor([[5.0], [-7.0]])
    config = Distillation(loss=form)
    torch.testing.assert_close(
        soft_loss(shifted, TEACHER, LABELS, config), soft_loss(STUDENT, TEACHER, LABELS, config)
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_gradient_is_t_times_the_difference_of_the_softened_distributions(temperature):
    difference = (STUDENT / temperature).softmax(1) - (TEACHER / temperature).softmax(1)
    torch.testing.assert_close(
        gradient(Distillation(temperature=temperature)), temperature * difference / len(STUDENT)
    )


@pytest.mark.parametrize("form", SOFTENED)
def test_the_size_of_the_gradient_does_not_vanish_with_the_temperature(form):
    sizes = [
        float(gradient(Distillation(loss=form, temperature=temperature)).norm())
        for temperature in (25.0, 50.0)
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.06)


@given(
    scale=st.floats(0.1, 30),
    shift=st.floats(-20, 20),
    logits=st.lists(st.integers(-9, 9), min_size=3, max_size=3, unique=True),
)
@settings(max_examples=50, deadline=None)
def test_standardised_logits_know_neither_shift_nor_scale(scale, shift, logits):
    plain = torch.tensor([logits], dtype=torch.float64)
    found = standardised(plain)
    torch.testing.assert_close(standardised(plain * scale + shift), found, rtol=1e-4, atol=1e-4)
    assert float(found.mean()) == pytest.approx(0, abs=1e-6)
    assert float(found.square().mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 300.0, -1e6])
def test_equal_logits_are_standardised_to_zeros_with_a_gradient_in_closed_form(level):
    flat = torch.full((2, 3), level)
    assert torch.equal(standardised(flat), torch.zeros(2, 3))
    temperature = 4.0
    found = gradient(Distillation(loss="standardised", temperature=temperature), student=flat)
    # The student answers evenly; where deviations count as 0.05 a logit is worth 20 times as much.
    wanted = (standardised(TEACHER) / temperature).softmax(1)
    expected = 20 * temperature * (1 / 3 - wanted) / len(TEACHER)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@given(
    spread=st.sampled_from([0.0, 1e-30, 1e-12, 1e-4, 0.04, 0.06, 1.0, 1e4]),
    temperature=st.sampled_from([1.0, 4.0, 50.0]),
    seed=st.integers(0, 99),
    classes=st.integers(2, 12),
)
@settings(max_examples=60, deadline=None)
def test_no_standardised_gradient_is_larger_than_twenty_times_that_of_kl_can_be(
    spread, temperature, seed, classes
):
    generator = torch.Generator().manual_seed(seed)
    student = (torch.randn(1, classes, generator=generator) * spread).requires_grad_()
    teacher = torch.randn(1, classes, generator=generator) * 10
    config = Distillation(loss="standardised", temperature=temperature)
    soft_loss(student, teacher, torch.tensor([0]), config).backward()
    assert float(student.grad.norm()) <= 20 * math.sqrt(2) * temperature * (1 + 1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e4])
def test_few_classes_and_extreme_logits_leave_values_and_gradients_finite(form, classes, size):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(4, classes, generator=generator) * size for _ in range(2)]
    student = drawn[0].clone().requires_grad_()
    for teacher in (torch.zeros(4, classes), *drawn):
        student.grad = None
        loss = soft_loss(student, teacher, torch.arange(4) % classes, Distillation(loss=form))
        loss.backward()
        assert math.isfinite(float(loss.detach()))
        assert torch.isfinite(student.grad).all()


def test_of_two_classes_the_decoupled_loss_is_kl_and_of_one_it_is_refused():
    student, teacher = STUDENT[:, :2], TEACHER[:, :2]
    target, others = decoupled(student, teacher, LABELS.clamp_max(1), temperature=2.0)
    torch.testing.assert_close(target, kl(student, teacher, temperature=2.0))
    assert float(others) == 0
    one = torch.zeros(2, 1)
    with pytest.raises(InvalidCandidate, match="at least 2 classes, got 1"):
        soft_loss(one, one, torch.zeros(2).long(), Distillation(loss="decoupled"))


@given(seed=st.integers(0, 10_000), temperature=st.floats(1, 8))
@settings(max_examples=30, deadline=None)
def test_the_decoupled_parts_add_up_to_kl_when_weighted_by_the_teachers_doubt(seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 1, 5, generator=generator, dtype=torch.float64) * 3
    label = torch.tensor([seed % 5])
    target, others = decoupled(student, teacher, label, temperature=temperature)
    doubt = 1 - (teacher / temperature).softmax(1)[0, label]
    whole = kl(student, teacher, temperature=temperature)
    torch.testing.assert_close(target + doubt[0] * others, whole)


def test_alpha_and_beta_weigh_the_target_class_and_the_others():
    target, others = decoupled(STUDENT, TEACHER, LABELS, temperature=4.0)
    for alpha, beta in ((1.0, 0.0), (0.0, 1.0), (2.0, 8.0)):
        config = Distillation(loss="decoupled", alpha=alpha, beta=beta)
        found = soft_loss(STUDENT, TEACHER, LABELS, config)
        torch.testing.assert_close(found, alpha * target + beta * others)
    assert float(target) > 0
    assert float(others) > 0


def test_jensen_shannon_is_symmetric_and_bounded_and_a_quarter_of_kl_near_agreement():
    there = jensen_shannon(STUDENT, TEACHER, temperature=1.0)
    torch.testing.assert_close(there, jensen_shannon(TEACHER, STUDENT, temperature=1.0))
    apart = torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 99.0]])
    assert float(jensen_shannon(*apart, temperature=1.0)) == pytest.approx(math.log(2))
    near = TEACHER.double() + 1e-3 * STUDENT.double()
    ratio = kl(near, TEACHER.double(), temperature=1.0) / jensen_shannon(
        near, TEACHER.double(), temperature=1.0
    )
    assert float(ratio) == pytest.approx(4, rel=0.01)


def test_kl_of_ever_softer_centred_logits_becomes_the_squared_error():
    student, teacher = (x.double() - x.double().mean(1, keepdim=True) for x in (STUDENT, TEACHER))
    squared = soft_loss(student, teacher, LABELS, Distillation(loss="mse"))
    assert float(squared) == pytest.approx(
        float((student - teacher).square().mean()) / 2, rel=1e-12
    )
    assert float(kl(student, teacher, temperature=3000.0)) == pytest.approx(
        float(squared), rel=0.01
    )


def test_the_weight_shares_the_loss_between_labels_and_teacher():
    hard = functional.cross_entropy(STUDENT, LABELS)
    soft = kl(STUDENT, TEACHER, temperature=2.0)
    for weight, expected in ((0.0, hard), (1.0, soft), (0.3, 0.7 * hard + 0.3 * soft)):
        config = Distillation(temperature=2.0, weight=weight)
        torch.testing.assert_close(
            distillation_loss(STUDENT, TEACHER, LABELS, config, hard=hard), expected
        )


@pytest.mark.parametrize(
    ("config", "has_effect", "is_online"),
    [
        (Distillation(), True, False),
        (Distillation(weight=0), False, False),
        (Distillation(weight=0, features="hints"), True, True),
        (Distillation(weight=0, features="hints", feature_weight=0), False, False),
        (Distillation(teacher="self"), True, True),
        (Distillation(teacher="uploaded"), True, False),
    ],
)
def test_a_config_knows_whether_it_does_anything_and_whether_the_teacher_runs_along(
    config, has_effect, is_online
):
    assert config.has_effect == has_effect
    assert config.is_online == is_online


def test_applying_it_keeps_the_network_and_says_so_where_only_labels_are_left(trained, digits):
    context = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    start = CompressedModel(network=trained)
    taught = distillation.apply(start, Distillation(), context)
    assert taught.network is trained
    assert taught.step(Distillation) == Distillation()
    assert taught.notes == ()
    deaf = distillation.apply(start, Distillation(weight=0), context)
    assert deaf.step(Distillation) is None
    assert deaf.notes == ("distillation: its weights are 0, only the labels are learnt from",)
