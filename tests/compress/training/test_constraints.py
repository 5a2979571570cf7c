from dataclasses import replace

import pytest
import torch
from torch import nn

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks import loading
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import constraints, loop, precision
from compress.training.constraints import WeightConstraint
from compress.training.loop import TrainingPlan
from compress.training.optimiser import NesterovSGD
from tests.devices import DEVICE


@pytest.fixture
def few(digits):
    return Images(x_NCHW=digits.train.x_NCHW[:200], y_N=digits.train.y_N[:200])


def network(images):
    architecture = Residual(widths=(8, 16), depths=(1, 1), shortcut="pad")
    return Network(
        module=build(architecture, in_channels=1, num_classes=10, seed=0),
        normalisation=loading.sample_statistics(images),
        input_shape=(1, 8, 8),
        num_classes=10,
    )


class Sixteenths(WeightConstraint):
    """Rounds to sixteenths and keeps a diary."""

    def __init__(self):
        super().__init__()
        self.diary = []
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, weight):
        return weight + ((weight * 16).round() / 16 - weight).detach() + self.shift

    def refresh(self, weight):
        self.diary.append("refresh")

    def settle(self, weight):
        self.diary.append("settle")

    def advance(self, progress):
        self.diary.append(progress)


@pytest.fixture
def constrained(few):
    net = network(few)
    constraints.constrain(net.module.get_submodule("layer1.0.conv2"), Sixteenths())
    return net


def test_constraints_follow_the_weights_around_every_epoch_and_hear_of_every_step(constrained, few):
    plan = TrainingPlan(epochs=2, seed=0, batch_size=100)
    trained, _ = loop.fit(constrained, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    (constraint,) = constraints.on(trained.module.get_submodule("layer1.0.conv2"))
    epochs = [0.0, "refresh", 0.0, 0.25, 0.5, "refresh", 0.5, 0.75]
    assert constraint.diary == [*epochs, 1.0, "settle"]


def test_schedules_move_at_most_a_hundred_times_however_long_the_training(constrained, few):
    plan = TrainingPlan(epochs=16, seed=0, batch_size=10)
    trained, _ = loop.fit(constrained, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    (constraint,) = constraints.on(trained.module.get_submodule("layer1.0.conv2"))
    moments = [entry for entry in constraint.diary if isinstance(entry, float)]
    assert moments == sorted(moments)
    assert moments[-1] == 1.0
    assert 50 <= len(set(moments)) <= 101


def test_a_constrained_layer_ends_on_its_grid_while_its_latent_weight_trains(constrained, few):
    layer = "layer1.0.conv2"
    before = constrained.module.get_parameter(f"{layer}.parametrizations.weight.original").clone()
    plan = TrainingPlan(epochs=2, seed=0, batch_size=50)
    trained, report = loop.fit(constrained, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    (constraint,) = constraints.on(trained.module.get_submodule(layer))
    weight = (trained.module.get_submodule(layer).weight - constraint.shift).detach()
    torch.testing.assert_close(weight * 16, (weight * 16).round(), atol=1e-4, rtol=0)
    after = trained.module.get_parameter(f"{layer}.parametrizations.weight.original")
    assert not torch.equal(before, after)
    assert float(constraint.shift.detach()) != 0
    assert report.precision == "fp32"


def test_what_a_constraint_learns_does_not_decay():
    layer = nn.Linear(3, 2, bias=False)
    constraints.constrain(layer, Sixteenths())
    (constraint,) = constraints.on(layer)
    constraint.shift.data.fill_(1.0)
    original = layer.get_parameter("parametrizations.weight.original")
    before = original.detach().clone()
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    NesterovSGD(layer, momentum=0.0, weight_decay=0.5).step(0.1)
    assert float(constraint.shift.detach()) == 1.0
    torch.testing.assert_close(original.detach(), 0.95 * before)


def test_networks_under_constraints_train_in_full_precision_however_large():
    module = nn.Sequential(nn.Conv2d(3, 512, 3))
    constraints.constrain(module[0], Sixteenths())
    assert precision.choose(module, torch.zeros(64, 3, 64, 64), torch.sum) == "fp32"


def test_the_l1_of_network_slimming_pulls_batchnorm_scales_towards_zero_and_nothing_else(few):
    plan = TrainingPlan(epochs=3, seed=0, batch_size=50)
    sizes = {}
    for l1 in (0.0, 0.05):
        trained, _ = loop.fit(
            network(few),
            few,
            replace(plan, batchnorm_l1=l1),
            device=DEVICE,
            task=IMAGE_CLASSIFICATION,
        )
        norms = [m for m in trained.module.modules() if isinstance(m, nn.BatchNorm2d)]
        sizes[l1] = sum(float(norm.weight.detach().abs().sum()) for norm in norms)
    assert sizes[0.05] < 0.95 * sizes[0.0]


def test_the_subgradient_of_one_step_is_the_sign_of_the_scale():
    images = Images(x_NCHW=torch.zeros(4, 1, 8, 8), y_N=torch.zeros(4, dtype=torch.int64))
    start = network(Images(x_NCHW=torch.ones(4, 1, 8, 8), y_N=images.y_N))
    start = replace(start, normalisation=start.normalisation.model_copy(update={"std": (1.0,)}))
    plan = TrainingPlan(
        epochs=1, seed=0, batch_size=4, learning_rate=0.1, momentum=0.0, augment=False
    )
    weights = [
        loop.fit(
            start, images, replace(plan, batchnorm_l1=l1), device=DEVICE, task=IMAGE_CLASSIFICATION
        )[0]
        .module.get_parameter("bn1.weight")
        .detach()
        for l1 in (0.0, 0.25)
    ]
    rate = loop.learning_rate(0, steps=1, plan=plan)
    torch.testing.assert_close(weights[0] - weights[1], torch.full((8,), rate * 0.25))
