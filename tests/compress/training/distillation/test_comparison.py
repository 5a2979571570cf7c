import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks import loading
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.training.distillation.config import Distillation
from compress.training import inference, loop
from compress.training.distillation import features, taps
from compress.training.distillation.comparison import Comparison
from compress.training.distillation.running_average import RunningAverage
from compress.training.distillation.teacher import TeacherLogits
from compress.training.loop import TrainingPlan
from compress.values.errors import InvalidCandidate
from tests.devices import DEVICE


@pytest.fixture
def few(digits):
    return Images(x_NCHW=digits.train.x_NCHW[:200], y_N=digits.train.y_N[:200])


def network(images, *, widths, depth=1, seed=0):
    architecture = Residual(widths=widths, depths=(depth,) * len(widths), shortcut="conv")
    return Network(
        module=build(architecture, in_channels=1, num_classes=10, seed=seed),
        normalisation=loading.sample_statistics(images),
        input_shape=(1, 8, 8),
        num_classes=10,
    )


def prepared(net, images):
    return inference.preparation(net.normalisation, torch.device("cpu"))(images.x_NCHW)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_attention_map_is_the_normalised_sum_of_squares_over_channels():
    x = torch.tensor([[[[1.0, 2.0]], [[1.0, 0.0]]]])
    torch.testing.assert_close(
        features.attention_map(x), torch.tensor([[2.0, 4.0]]) / math.sqrt(20)
    )


def test_the_attention_loss_of_opposite_maps_is_two_thousandths_of_a_thousand_halves_per_pixel():
    one, other = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 3.0]]]])
    # The squared distance of two orthogonal unit vectors is 2; over 2 positions, times 1000 / 2.
    assert float(features.attention_loss(one, other)) == pytest.approx(500.0)
    assert float(features.attention_loss(5 * one, one.repeat(1, 7, 1, 1))) == pytest.approx(0)


def test_the_hint_loss_is_the_squared_error_in_units_of_the_teachers_map():
    teacher = torch.tensor([[[[3.0, 1.0]]]])
    assert float(features.hint_loss(torch.zeros_like(teacher), teacher)) == pytest.approx(1.0)
    assert float(features.hint_loss(teacher - 1, teacher)) == pytest.approx(1 / 5)
    assert float(features.hint_loss(10 * teacher - 10, 10 * teacher)) == pytest.approx(1 / 5)


def test_distances_and_angles_of_a_right_triangle():
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    torch.testing.assert_close(
        features.distances(corners),
        torch.tensor([[0.0, 3.0, 4.0], [3.0, 0.0, 5.0], [4.0, 5.0, 0.0]]) / 4,
        atol=1e-6,
        rtol=1e-5,
    )
    angles = features.angles(corners)
    assert float(angles[0, 1, 2]) == pytest.approx(0)
    assert float(angles[1, 0, 2]) == pytest.approx(0.6)
    assert float(angles[2, 0, 1]) == pytest.approx(0.8)
    assert float(angles[1, 2, 2]) == pytest.approx(1)


@given(scale=st.floats(0.01, 100), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_relational_loss_knows_neither_scale_nor_place_nor_width(scale, seed):
    teacher, student = random(6, 4, seed=seed), random(6, 3, seed=seed + 1)
    loss = features.relational_loss(student, teacher)
    assert float(loss) > 0
    moved = features.relational_loss(scale * (student + 1), teacher)
    torch.testing.assert_close(moved, loss, rtol=1e-3, atol=1e-3)
    wider = torch.cat((teacher, torch.zeros(6, 2)), dim=1)
    assert float(features.relational_loss(wider, teacher)) == pytest.approx(0, abs=1e-6)


def test_images_that_look_the_same_leave_the_relational_gradient_finite():
    student = torch.ones(5, 3)
    student[0] = 2
    student.requires_grad_()
    features.relational_loss(student, random(5, 4)).backward()
    assert torch.isfinite(student.grad).all()
    assert float(student.grad.abs().max()) < 1e4


def losses_of_maps(student, teacher):
    yield features.hint_loss(student, teacher)
    yield features.attention_loss(student, teacher)
    yield features.relational_loss(*map(features.pooled_features, (student, teacher)))


@pytest.mark.parametrize("student_size", [0.0, 1.0])
@pytest.mark.parametrize("teacher_size", [0.0, 1e-12, 1.0])
def test_dead_maps_leave_every_loss_and_gradient_bounded(student_size, teacher_size):
    student = (student_size * random(6, 3, 4, 4)).requires_grad_()
    for loss in losses_of_maps(student, teacher_size * random(6, 3, 4, 4, seed=1)):
        student.grad = None
        loss.backward()
        assert float(loss.detach()) <= 550
        assert float(student.grad.norm()) < 100


@pytest.mark.parametrize("nearly", [0.0, 1e-9, 1e-6])
def test_images_that_differ_by_rounding_alone_do_not_set_the_step(nearly):
    student = (1 + nearly * random(6, 3, 4, 4)).requires_grad_()
    for loss in losses_of_maps(student, random(6, 3, 4, 4, seed=1)):
        student.grad = None
        loss.backward()
        assert float(student.grad.norm()) < 100


def test_one_dead_image_among_others_is_left_out_of_the_attention():
    student = random(6, 3, 4, 4)
    student[0] *= 1e-8
    student.requires_grad_()
    features.attention_loss(student, random(6, 3, 4, 4, seed=1)).backward()
    assert float(student.grad[0].norm()) < float(student.grad[1:].norm())


def test_maps_of_different_size_meet_at_the_smaller_one():
    large, small = random(2, 3, 8, 8), random(2, 5, 4, 2)
    pooled, same = features.same_size(large, small)
    assert pooled.shape == (2, 3, 4, 2)
    assert same is small
    torch.testing.assert_close(pooled[0, 0, 0, 0], large[0, 0, :2, :4].mean())


def test_least_squares_finds_the_channels_that_a_pruned_map_still_holds():
    teacher = random(8, 5, 4, 4)
    mixed = torch.einsum("dc,bchw->bdhw", random(3, 5, seed=1), teacher)
    weight = features.least_squares(teacher, mixed)
    assert weight.shape == (3, 5, 1, 1)
    torch.testing.assert_close(
        torch.nn.functional.conv2d(teacher, weight), mixed, atol=0.02, rtol=0.01
    )


def test_stages_end_with_the_last_map_of_every_size(few):
    net = network(few, widths=(4, 8, 16), depth=2)
    found = taps.stages(net.module, prepared(net, few)[:2])
    assert [tap.name for tap in found] == ["stage_ends.0", "stage_ends.1", "stage_ends.2"]
    assert not net.module.training


def test_a_relu_that_runs_twice_is_two_places():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 2, stride=2)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.second(self.relu(self.first(x)))).mean((2, 3))

    module, x = Plain(), random(2, 1, 8, 8)
    ends = taps.stages(module, x)
    assert [(tap.name, tap.call) for tap in ends] == [("relu", 0), ("relu", 1)]
    watched = taps.Taps(module, ends)
    module(random(2, 1, 8, 8, seed=1))
    module(x)
    early, late = watched.take()
    torch.testing.assert_close(early, module.first(x).relu())
    assert late.shape == (2, 4, 4, 4)
    watched.close()
    assert not module.relu._forward_hooks


def test_networks_without_maps_have_nothing_to_compare():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    x = random(2, 1, 8, 8)
    with pytest.raises(InvalidCandidate, match=r"attention.*0 and 0 stages.*features='none'"):
        Comparison(flat, flat, kind="attention", student_x=x, teacher_x=x)


@pytest.mark.parametrize("kind", ["hints", "attention", "relational"])
def test_a_network_compared_with_itself_has_no_feature_loss(few, kind):
    net = network(few, widths=(4, 8))
    x = prepared(net, few)[:20]
    comparison = Comparison(net.module, net.module, kind=kind, student_x=x, teacher_x=x)
    net.module(x)
    assert float(comparison.loss().detach()) == pytest.approx(0, abs=1e-4)
    assert not list(comparison.regressors.parameters())


def test_stages_are_paired_from_the_last_one_back_and_regressed_to_the_teachers_width(few):
    student, teacher = network(few, widths=(4, 6)), network(few, widths=(8, 8, 8), seed=1)
    x = prepared(student, few)[:20]
    comparison = Comparison(student.module, teacher.module, kind="hints", student_x=x, teacher_x=x)
    assert [w.shape[:2] for w in comparison.regressors.parameters()] == [(8, 4), (8, 6)]
    student.module(x)
    teacher.module(x)
    # Least squares leaves less than the map itself; an untrained start would leave about twice.
    assert 0 < float(comparison.loss().detach()) < 1


@pytest.mark.parametrize("kind", ["hints", "attention", "relational"])
def test_a_student_trained_on_features_comes_closer_to_those_of_its_teacher(few, kind):
    plan = TrainingPlan(epochs=6, seed=0, batch_size=50, augment=False)
    teacher, _ = loop.fit(
        network(few, widths=(8, 16)), few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    start = network(few, widths=(6, 10), seed=3)
    left = {}
    for weight in (0.0, 1.0):
        config = Distillation(weight=0.5, features=kind, feature_weight=weight)
        student, _ = loop.fit(
            start,
            few,
            replace(plan, epochs=4, distillation=config),
            device=DEVICE,
            teacher=TeacherLogits(teacher, few, device=DEVICE, task=IMAGE_CLASSIFICATION),
            task=IMAGE_CLASSIFICATION,
        )
        x = prepared(teacher, few)
        comparison = Comparison(student.module, teacher.module, kind=kind, student_x=x, teacher_x=x)
        student.module(x)
        teacher.module(x)
        left[weight] = float(comparison.loss().detach())
        comparison.close()
    assert left[1.0] < left[0.0]


def test_nothing_of_the_comparison_stays_on_the_trained_network(few):
    teacher = TeacherLogits(
        network(few, widths=(8, 8)), few, device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    start = network(few, widths=(4, 6), seed=1)
    plan = TrainingPlan(
        epochs=1, seed=0, batch_size=50, distillation=Distillation(features="hints")
    )
    trained, _ = loop.fit(
        start, few, plan, device=DEVICE, teacher=teacher, task=IMAGE_CLASSIFICATION
    )
    assert trained.module.state_dict().keys() == start.module.state_dict().keys()
    assert not any(part._forward_hooks for part in trained.module.modules())
    assert not any(part._forward_hooks for part in teacher.teacher.module.modules())


def test_training_with_features_is_the_same_for_the_same_seed(few):
    teacher = TeacherLogits(
        network(few, widths=(8, 8)), few, device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    start = network(few, widths=(4, 6), seed=1)
    plan = TrainingPlan(
        epochs=1, seed=0, batch_size=50, distillation=Distillation(features="hints")
    )
    one, other = (
        loop.fit(start, few, plan, device=DEVICE, teacher=teacher, task=IMAGE_CLASSIFICATION)[
            0
        ].module.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_running_average_is_first_the_mean_and_then_forgets():
    followed = nn.BatchNorm1d(1)
    average = RunningAverage(followed)
    for step in range(1, 4):
        followed.weight.data.fill_(1 + step)
        followed.running_mean.fill_(step)
        average.follow()
    assert float(average.module.weight) == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert float(average.module.running_mean) == 3
    for _ in range(500):
        average.follow()
    assert float(average.module.weight) == pytest.approx(4, abs=0.02)
    assert not average.module.training


def test_a_student_can_learn_from_its_own_running_average(few):
    start = network(few, widths=(8, 16))
    plan = TrainingPlan(epochs=6, seed=0, batch_size=10, distillation=Distillation(teacher="self"))
    trained, report = loop.fit(start, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    alone, _ = loop.fit(
        start, few, replace(plan, distillation=None), device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    assert loop.evaluate(trained, few, DEVICE, task=IMAGE_CLASSIFICATION) > 0.5
    assert report.loss < 1.5
    assert not torch.equal(
        trained.module.get_parameter("linear.weight"), alone.module.get_parameter("linear.weight")
    )
