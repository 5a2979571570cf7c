import math
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import nn

from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.member import OPERATIONS, Shape
from compress.network.sources import safetensors as weights
from compress.network.supernet import extraction
from compress.network.supernet.config import Elastic
from compress.network.supernet.draw import Draw
from compress.network.supernet.execution import SharedMember
from compress.supernet import start
from compress.supernet import training as supernet
from compress.supernet.objectives import Sandwich
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import batchnorm, inference, loop
from compress.training.context import TrialContext
from compress.training.distillation.loss import kl
from compress.training.loop import TrainingPlan
from compress.training.objectives import Batch
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError, Stopped
from tests.compress.network.families import tiny
from tests.compress.network.supernet.families import SUPERNETS, context
from tests.devices import DEVICE

ARCHITECTURE, ELASTIC = SUPERNETS["residual, padded"]


def state(network):
    return network.module.state_dict()


def are_equal(one, other):
    return all(torch.equal(tensor, state(other)[name]) for name, tensor in state(one).items())


def test_a_small_member_learns_what_the_same_slice_of_an_ordinary_training_does_not(digits):
    job = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    architecture = Residual(widths=(8, 16, 32), depths=(2, 1, 1), shortcut="conv")
    elastic = Elastic(widths=(0.5, 1.0), depths=(1, 2))
    fresh = start.begin(None, architecture, job, elastic)
    plan = TrainingPlan(epochs=4, seed=0, batch_size=job.batch_size)
    alone, _ = loop.fit(fresh, digits.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    shared, _ = supernet.train(fresh, elastic, job, epochs=(0, 4), of=4)

    def accuracy(network, shape):
        part = extraction.extract(network, architecture.member(shape))
        part = batchnorm.reestimate(part, digits.train, device=DEVICE, task=IMAGE_CLASSIFICATION)
        return loop.evaluate(part, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION)

    half = Shape(width=0.5)
    assert accuracy(shared, half) > accuracy(alone, half) + 0.3
    assert accuracy(shared, Shape()) > 0.85
    assert loop.evaluate(shared, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION) == accuracy(
        shared, Shape()
    )


def test_the_same_seed_gives_the_same_weights_and_the_input_stays_untouched():
    network = tiny.network(ARCHITECTURE)
    before = {name: tensor.clone() for name, tensor in state(network).items()}
    runs = [
        supernet.train(network, ELASTIC, context(seed=seed), epochs=(0, 2), of=2)[0]
        for seed in (3, 3, 4)
    ]
    assert are_equal(runs[0], runs[1])
    assert not are_equal(runs[0], runs[2])
    assert all(torch.equal(state(network)[name], before[name]) for name in before)
    assert not runs[0].module.training


@pytest.mark.parametrize("name", ["residual, padded", "nasbench201"])
def test_a_training_goes_on_from_its_files_as_if_it_had_never_been_interrupted(name, tmp_path):
    architecture, elastic = SUPERNETS[name]
    network, job = tiny.network(architecture), context()
    unbroken, told = supernet.train(network, elastic, job, epochs=(0, 3), of=3)
    first, report = supernet.train(network, elastic, job, epochs=(0, 2), of=3)
    weights.save(first, tmp_path / "weights")
    safetensors.torch.save_file(dict(report.momentum), tmp_path / "momentum")
    loaded = weights.load(
        tmp_path / "weights",
        architecture=architecture,
        normalisation=network.normalisation,
        input_shape=network.input_shape,
        num_classes=network.num_classes,
    )
    momentum = safetensors.torch.load_file(tmp_path / "momentum")
    second, again = supernet.train(loaded, elastic, job, epochs=(2, 3), of=3, momentum=momentum)
    parameters = dict(unbroken.module.named_parameters())
    assert all(
        torch.equal(tensor, parameters[name]) for name, tensor in second.module.named_parameters()
    )
    assert again.fit.loss == told.fit.loss
    at_rest, _ = supernet.train(loaded, elastic, job, epochs=(2, 3), of=3)
    assert not are_equal(at_rest, second)


def test_the_loss_is_that_of_the_largest_and_the_distances_of_the_others_from_it():
    network = tiny.network(ARCHITECTURE)
    whole = extraction.of_family(network).train()
    x, labels = tiny.images(12), torch.arange(12) % 5
    prepare = inference.preparation(network.normalisation, torch.device("cpu"))
    objective = Sandwich(
        whole, Draw(ELASTIC, ARCHITECTURE, seed=0), prepare, "fp32", task=IMAGE_CLASSIFICATION
    )
    objective.view(0, lambda: None)
    with torch.no_grad():
        largest = SharedMember(whole, ARCHITECTURE)(x)
    found = objective.loss(largest, Batch(rows_B=torch.arange(12), x_BCHW=x, labels_B=labels))
    same = Draw(ELASTIC, ARCHITECTURE, seed=0)
    same.begin(0)
    members = {same.smallest, same.next(), same.next()} - {ARCHITECTURE}
    distances = [
        kl(extraction.extract(network, member).module.train()(x), largest, temperature=1.0)
        for member in members
    ]
    expected = nn.functional.cross_entropy(largest, labels) + sum(distances)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_smaller_members_do_not_pull_the_largest_towards_them():
    network = tiny.network(ARCHITECTURE)
    whole = extraction.of_family(network).train()
    x = tiny.images(12)
    prepare = inference.preparation(network.normalisation, torch.device("cpu"))
    objective = Sandwich(
        whole, Draw(ELASTIC, ARCHITECTURE, seed=0), prepare, "fp32", task=IMAGE_CLASSIFICATION
    )
    objective.view(0, lambda: None)
    logits = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(12) % 5
    objective.loss(logits, Batch(rows_B=labels, x_BCHW=x, labels_B=labels)).backward()
    expected = (logits.softmax(1) - nn.functional.one_hot(labels, 5)) / 12
    torch.testing.assert_close(logits.grad, expected)


def test_one_step_of_a_cell_trains_one_path_and_no_other_operation():
    architecture = NasBench201(channels=4, cells=(1, 1, 1))
    network = tiny.network(architecture)
    elastic = Elastic(operations=(("nor_conv_1x1", "nor_conv_3x3"),) * 6)
    trained, report = supernet.train(network, elastic, context(), epochs=(0, 1), of=1)
    moved = {
        name
        for name, tensor in trained.module.named_parameters()
        if not torch.equal(tensor, network.module.get_parameter(name))
    }
    assert moved <= set(report.momentum)
    for edge in range(6):
        used = [
            operation
            for operation in OPERATIONS
            if f"stages.0.0.edges.{edge}.{operation}.conv.weight" in report.momentum
        ]
        assert len(used) == 1


def test_progress_counts_the_epochs_of_the_whole_training():
    told = []
    _, report = supernet.train(
        tiny.network(ARCHITECTURE),
        ELASTIC,
        context(),
        epochs=(2, 4),
        of=5,
        on_progress=lambda *values: told.append(values),
    )
    assert [values[:2] for values in told] == [(3, 5), (4, 5)]
    assert told[-1][2] == report.fit.loss
    assert report.fit.images_per_second > 0


def test_running_statistics_are_measured_anew_for_the_largest_member():
    job = context()
    trained, _ = supernet.train(tiny.network(ARCHITECTURE), ELASTIC, job, epochs=(0, 1), of=1)
    assert are_equal(
        batchnorm.reestimate(trained, job.data.train, device=DEVICE, task=IMAGE_CLASSIFICATION),
        trained,
    )


def test_training_stops_between_steps_when_asked():
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Stopped, match="epoch 2 of 9"):
        supernet.train(
            tiny.network(ARCHITECTURE),
            ELASTIC,
            replace(context(), should_stop=should_stop),
            epochs=(0, 9),
            of=9,
        )


def test_a_loss_that_is_not_finite_is_an_error():
    broken = tiny.network(ARCHITECTURE)
    broken.module.get_parameter("linear.bias").data[0] = math.nan
    with pytest.raises(NumericalError, match="epoch 1"):
        supernet.train(broken, ELASTIC, context(), epochs=(0, 1), of=1)


@pytest.mark.parametrize("epochs", [(0, 0), (2, 1), (-1, 1), (0, 4)])
def test_epochs_that_are_not_among_those_of_the_training_are_refused(epochs):
    with pytest.raises(ValueError, match="are none of 3"):
        supernet.train(tiny.network(ARCHITECTURE), ELASTIC, context(), epochs=epochs, of=3)


def test_a_budget_of_no_epoch_is_refused():
    with pytest.raises(InvalidCandidate, match="trained for 0 epochs"):
        supernet.train(tiny.network(ARCHITECTURE), ELASTIC, context(), epochs=(0, 1), of=0)


def test_a_training_without_images_is_refused():
    nothing = Images(x_NCHW=torch.zeros(0, 1, 16, 16), y_N=torch.zeros(0, dtype=torch.int64))
    job = context()
    job = replace(job, data=replace(job.data, train=nothing))
    with pytest.raises(InvalidData, match="at least one training image"):
        supernet.train(tiny.network(ARCHITECTURE), ELASTIC, job, epochs=(0, 1), of=1)
