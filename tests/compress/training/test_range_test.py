"""A network without norms gets a rate that it stands; one that stands the usual rate keeps it."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from compress import pipeline
from compress.tasks import registry
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training import loop, range_test
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from compress.training.range_test import RATES
from compress.values.schedule import USUAL_RATE, Schedule
from tests.compress.uploads import network_of, pictures, uploaded
from tests.devices import DEVICE

TASK = registry.TASKS["image_classification"]
PRUNED = Candidate(steps=(FilterPruning(scope="uniform", ratio=0.4),))
MOST = 480


@pytest.fixture(scope="module")
def data():
    return pictures(400)


@pytest.fixture(scope="module")
def calm(data):
    """An upload with folded norms that has learned its classes."""
    network = network_of(uploaded("cnn", folded=True))
    plan = TrainingPlan(epochs=10, seed=0, batch_size=32, learning_rate=0.01, precision="fp32")
    return loop.fit(network, data.train, plan, task=TASK, device=DEVICE)[0]


@pytest.fixture(scope="module")
def touchy(calm):
    """The same with one layer sixteen times as large and the next one sixteen times smaller."""
    module = copy.deepcopy(calm.module)
    *_, narrow, wide = (
        part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)
    )
    with torch.no_grad():
        narrow.weight.mul_(16)
        narrow.bias.mul_(16)
        wide.weight.div_(16)
    return replace(calm, module=module)


def found(network, data, *, most=MOST, seed=0):
    return range_test.learning_rate(
        network, data.train, task=TASK, device=DEVICE, most_images=most, seed=seed
    )


def context_of(network, data, *, seed=0):
    return TrialContext(task=TASK, data=data, device=DEVICE, seed=seed, teacher=network)


def recovered(network, data, rate, *, epochs=4):
    """The first epochs of a recovery of sixty."""
    context = context_of(network, data)
    started = pipeline.start(network, PRUNED, context)
    schedule = Schedule(learning_rate=rate, augment="none")
    return pipeline.recover(started, context, epochs=epochs, total=60, schedule=schedule)


def accuracy(compressed, data):
    return loop.evaluate(compressed.network, data.validation, DEVICE, task=TASK)


def test_a_network_that_stands_the_usual_rate_keeps_it(calm, data):
    assert found(calm, data).rate == USUAL_RATE


def test_a_network_that_the_usual_rate_destroys_gets_a_smaller_one(touchy, data):
    before = copy.deepcopy(touchy.module.state_dict())
    assert found(touchy, data).rate in RATES[1:]
    for name, tensor in touchy.module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_same_seed_finds_the_same(touchy, data):
    assert found(touchy, data, seed=3) == found(touchy, data, seed=3)


@pytest.mark.parametrize("most", [200, 480, 5_000])
def test_no_more_images_are_taken_than_may_be(calm, data, most):
    assert found(calm, data, most=most).images <= most + 1


def test_a_short_recovery_is_not_tested_but_careful(calm, data):
    test = found(calm, data, most=40)
    assert (test.rate, test.images) == (RATES[1], 0)
    assert "too short for a test" in test.described


def test_a_network_that_the_usual_rate_destroys_recovers(touchy, data):
    destroyed, tested = (recovered(touchy, data, rate) for rate in (USUAL_RATE, "auto"))
    assert tested.learning_rate in RATES[1:]
    [note] = [note for note in tested.notes if "by a test on" in note]
    assert note.startswith(f"recovery: trained at a rate of {tested.learning_rate:g}")
    assert accuracy(tested, data) > 0.95
    assert accuracy(tested, data) > accuracy(destroyed, data) + 0.2


def test_a_rate_is_tested_once_and_repeated_identically(touchy, data):
    context = context_of(touchy, data)
    files = []
    for _ in range(2):
        grown = pipeline.start(touchy, PRUNED, context)
        rates = []
        for epochs in (1, 2):
            grown = pipeline.recover(grown, context, epochs=epochs, total=60)
            rates.append(grown.learning_rate)
        assert rates[0] == rates[1] in RATES
        assert sum("rate of" in note for note in grown.notes) == 1
        files.append(grown.network.module.state_dict())
    assert all(torch.equal(tensor, files[1][name]) for name, tensor in files[0].items())


def test_networks_of_no_file_and_explicit_rates_are_not_tested(touchy, data):
    own = replace(touchy, ports=None)
    assert recovered(own, data, "auto", epochs=1).learning_rate == USUAL_RATE
    asked = recovered(touchy, data, 0.001, epochs=1)
    assert asked.learning_rate == 0.001
    assert not any("rate of" in note for note in asked.notes)
