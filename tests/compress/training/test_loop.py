import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks import loading
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification import augmentation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.training.distillation.config import Distillation
from compress.training import inference, loop, precision
from compress.training.distillation.teacher import TeacherLogits
from compress.training.loop import Hooks, TrainingPlan
from compress.training.optimiser import Adam, NesterovSGD
from compress.values.errors import NumericalError, Stopped
from tests.devices import DEVICE


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def few(digits):
    return Images(x_NCHW=digits.train.x_NCHW[:200], y_N=digits.train.y_N[:200])


def network(images, *, widths=(8, 16), seed=0):
    architecture = Residual(widths=widths, depths=(1,) * len(widths), shortcut="pad")
    return Network(
        module=build(architecture, in_channels=1, num_classes=10, seed=seed),
        normalisation=loading.sample_statistics(images),
        input_shape=(1, 8, 8),
        num_classes=10,
    )


def state(trained):
    return trained.module.state_dict()


def test_a_small_network_learns_digits(digits):
    start = network(digits.train, widths=(16, 32))
    trained, report = loop.fit(
        start,
        digits.train,
        TrainingPlan(epochs=8, seed=0, batch_size=64),
        device=DEVICE,
        task=IMAGE_CLASSIFICATION,
    )
    assert loop.evaluate(start, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION) < 0.3
    assert loop.evaluate(trained, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION) > 0.93
    assert report.loss < 0.3
    assert report.images_per_second > 0


def test_the_same_seed_gives_the_same_weights_and_the_input_stays_untouched(few):
    start = network(few)
    before = {name: tensor.clone() for name, tensor in state(start).items()}
    plan = TrainingPlan(epochs=2, seed=3, batch_size=50)
    one, _ = loop.fit(start, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    same, _ = loop.fit(start, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    other, _ = loop.fit(start, few, replace(plan, seed=4), device=DEVICE, task=IMAGE_CLASSIFICATION)
    assert all(torch.equal(state(one)[name], state(same)[name]) for name in before)
    assert not torch.equal(state(one)["conv1.weight"], state(other)["conv1.weight"])
    assert all(torch.equal(state(start)[name], before[name]) for name in before)
    assert not one.module.training


def test_the_zeros_and_ones_of_pad_shortcuts_are_not_trained(few):
    start = network(few)
    trained, _ = loop.fit(
        start,
        few,
        TrainingPlan(epochs=1, seed=0, batch_size=50),
        device=DEVICE,
        task=IMAGE_CLASSIFICATION,
    )
    name = "layer2.0.shortcut.weight"
    assert torch.equal(state(trained)[name], state(start)[name])


def test_training_stops_between_steps_when_asked(few):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Stopped, match="epoch 2 of 9"):
        loop.fit(
            network(few),
            few,
            TrainingPlan(epochs=9, seed=0, batch_size=50),
            device=DEVICE,
            hooks=Hooks(should_stop=should_stop),
            task=IMAGE_CLASSIFICATION,
        )
    assert len(asked) == 6


def test_progress_tells_epoch_epochs_and_loss(few):
    told = []
    _, report = loop.fit(
        network(few),
        few,
        TrainingPlan(epochs=3, seed=0, batch_size=50),
        device=DEVICE,
        hooks=Hooks(on_progress=lambda *values: told.append(values)),
        task=IMAGE_CLASSIFICATION,
    )
    assert [values[:2] for values in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1][2] == report.loss


def test_a_loss_that_is_not_finite_is_an_error(few):
    broken = network(few)
    broken.module.get_parameter("linear.bias").data[0] = math.nan
    with pytest.raises(NumericalError, match="epoch 1"):
        loop.fit(
            broken, few, TrainingPlan(epochs=1, seed=0), device=DEVICE, task=IMAGE_CLASSIFICATION
        )


def test_the_learning_rate_rises_to_its_peak_and_falls_to_almost_zero():
    plan = TrainingPlan(epochs=1, seed=0, learning_rate=0.5, warmup=0.2)
    rates = [loop.learning_rate(step, steps=100, plan=plan) for step in range(100)]
    assert rates.index(max(rates)) == 19
    assert max(rates) == pytest.approx(0.5)
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert 0 < rates[-1] < 0.001


OPTIMISERS = {
    "sgd": (
        lambda net: NesterovSGD(net, momentum=0.9, weight_decay=0.1),
        lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True),
    ),
    "adam": (
        lambda net: Adam(net, weight_decay=0.1),
        lambda groups: torch.optim.AdamW(groups, lr=0.05),
    ),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_takes_the_steps_of_torch(name):
    def module():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))

    ours, reference = module(), module()
    make, of_torch = OPTIMISERS[name]
    mine = make(ours)
    groups = [
        {"params": [p for p in reference.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in reference.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    theirs = of_torch(groups)
    for step in range(20):
        x = torch.randn(16, 5, generator=torch.Generator().manual_seed(step))
        theirs.zero_grad()
        for net in (ours, reference):
            net(x).square().sum().backward()
        mine.step(0.05)
        theirs.step()
    torch.testing.assert_close(ours.state_dict(), reference.state_dict())


def test_distillation_without_a_teacher_is_refused(few):
    plan = TrainingPlan(epochs=1, seed=0, distillation=Distillation())
    with pytest.raises(ValueError, match="teacher"):
        loop.fit(network(few), few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)


def test_a_student_comes_closer_to_its_teacher_than_labels_alone_bring_it(few):
    teacher_plan = TrainingPlan(epochs=3, seed=0, batch_size=50)
    teacher, _ = loop.fit(network(few), few, teacher_plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    answers = TeacherLogits(teacher, few, device=DEVICE, task=IMAGE_CLASSIFICATION)
    distance = {}
    for weight in (0.0, 1.0):
        plan = TrainingPlan(
            epochs=4, seed=1, batch_size=50, distillation=Distillation(weight=weight)
        )
        student, _ = loop.fit(
            network(few, seed=7),
            few,
            plan,
            device=DEVICE,
            teacher=answers,
            task=IMAGE_CLASSIFICATION,
        )
        mine = (
            TeacherLogits(student, few, device=DEVICE, task=IMAGE_CLASSIFICATION)
            .logits(None)
            .softmax(1)
        )
        distance[weight] = float((mine - answers.logits(None).softmax(1)).abs().mean())
    assert distance[1.0] < 0.8 * distance[0.0]


def test_teacher_logits_are_those_of_the_view_that_students_see(few):
    teacher = network(few)
    answers = TeacherLogits(teacher, few, device=DEVICE, task=IMAGE_CLASSIFICATION)
    prepare = inference.preparation(teacher.normalisation, DEVICE)
    seen = answers.view(1).to(DEVICE).apply(prepare(few.x_NCHW.to(DEVICE)))
    with torch.no_grad():
        expected = copy.deepcopy(teacher.module).to(DEVICE).eval()(seen).cpu()
    torch.testing.assert_close(answers.logits(1), expected)
    assert answers.num_views == 4
    assert torch.equal(answers.view(1).shift_N2, answers.view(1).shift_N2)
    assert not torch.equal(answers.view(1).shift_N2, answers.view(2).shift_N2)
    assert not torch.equal(answers.logits(1), answers.logits(2))
    assert answers.logits(1) is answers.logits(1)


def test_teacher_logits_are_read_from_disk_the_second_time(few, tmp_path):
    computed = TeacherLogits(
        network(few), few, device=DEVICE, folder=tmp_path, task=IMAGE_CLASSIFICATION
    ).logits(0)

    def never_computed():
        raise AssertionError("the teacher was asked again")

    again = TeacherLogits(
        network(few), few, device=DEVICE, folder=tmp_path, task=IMAGE_CLASSIFICATION
    )
    assert torch.equal(again.logits(0, should_stop=never_computed), computed)
    assert len(list(tmp_path.iterdir())) == 1
    TeacherLogits(
        network(few, seed=1), few, device=DEVICE, folder=tmp_path, task=IMAGE_CLASSIFICATION
    ).logits(0)
    assert len(list(tmp_path.iterdir())) == 2


def test_kept_logits_are_of_one_way_to_vary_images_and_one_revision(few, tmp_path):
    def kept(augment):
        return TeacherLogits(
            network(few), few, device=DEVICE, folder=tmp_path, task=IMAGE_CLASSIFICATION
        ).logits(0, augment=augment)

    shifted, mirrored = kept("shift"), kept("shift_flip")
    assert not torch.equal(shifted, mirrored)
    assert len(list(tmp_path.iterdir())) == 2
    assert torch.equal(kept("none"), kept("none"))
    assert len(list(tmp_path.iterdir())) == 3
    revision = f"-r{augmentation.REVISION}-"
    assert all(revision in path.name for path in tmp_path.iterdir())


def test_small_steps_stay_in_full_precision(few):
    module = network(few).module
    assert precision.choose(module, torch.zeros(64, 1, 8, 8), torch.sum) == "fp32"


def test_bfloat16_trains_the_same_network_to_float32_weights(few):
    plan = TrainingPlan(epochs=3, seed=0, batch_size=50, precision="bf16")
    trained, report = loop.fit(network(few), few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    full, reference = loop.fit(
        network(few), few, replace(plan, precision="fp32"), device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    assert report.precision == "bf16"
    assert report.loss == pytest.approx(reference.loss, rel=0.1)
    assert state(trained)["conv1.weight"].dtype == torch.float32
    assert not torch.equal(state(trained)["conv1.weight"], state(full)["conv1.weight"])
