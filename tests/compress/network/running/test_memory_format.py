"""Channels-last is for networks that run in it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress import pipeline
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.running import memory_format
from compress.techniques.candidate import Candidate
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.training.distillation.config import Distillation
from compress.training import inference
from tests.compress.applying import context_of
from tests.compress.network.running.test_readers import five
from tests.compress.networks import Separable, wrapped

PLAIN = torch.contiguous_format


class Lines(nn.Module):
    """The commonest line of a network written by hand."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.next, self.out = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8 * 64, 5)

    def forward(self, x):
        x = self.next(torch.relu(self.norm(self.conv(x))))
        return self.out(x.view(x.size(0), -1))


class Strides(nn.Module):
    """Runs in both and answers otherwise: it reads memory as it lies."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 64, 5)

    def forward(self, x):
        return self.out(self.conv(x).as_strided((len(x), 8 * 64), (8 * 64, 1)))


class OnlyInTraining(Lines):
    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.out(x.view(len(x), -1) if self.training else x.flatten(1))


@pytest.mark.parametrize("kind", [Lines, Strides, OnlyInTraining])
def test_a_network_that_needs_ordinary_memory_gets_it_and_a_note_says_so(kind, digits):
    network = wrapped(kind())
    assert memory_format.of(network) is PLAIN
    made = pipeline.start(network, Candidate(), context_of(five(digits)))
    assert made.notes == (memory_format.NOTE,)


def test_others_run_channels_last_without_a_note(digits):
    for module in (Separable(), build(Residual(), in_channels=1, num_classes=5, seed=0)):
        network = wrapped(module)
        assert memory_format.of(network) is torch.channels_last
        assert memory_format.notes(network) == ()


def test_a_copy_on_a_device_keeps_the_format_and_images_come_in_it():
    network = wrapped(Lines())
    copied = inference.copied_to(torch.device("cpu"), network)
    assert copied.conv.weight.is_contiguous()
    prepare = inference.preparation_of(network, torch.device("cpu"))
    assert prepare(torch.zeros(2, 3, 4, 4)).is_contiguous()
    last = inference.preparation_of(wrapped(Separable()), torch.device("cpu"))
    assert last(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)


def test_the_probe_leaves_the_network_and_the_random_numbers_alone():
    module = Lines().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.random.get_rng_state()
    memory_format.of(wrapped(module))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(module.norm.num_batches_tracked, before["norm.num_batches_tracked"])


@pytest.mark.parametrize(
    "step",
    [
        Sparsity(sparsity=0.5, criterion="wanda"),
        Quantization(weight_bits=4, activations="float", rounding="gptq", allocation="sensitivity"),
        Distillation(weight=0.5, loss="mse", features="hints"),
    ],
    ids=lambda step: step.technique,
)
def test_every_technique_and_the_recovery_run_in_ordinary_memory(step: TechniqueConfig, digits):
    network = wrapped(Lines())
    context = context_of(five(digits), teacher=network)
    made = pipeline.start(network, Candidate(steps=(step,)), context)
    recovered = pipeline.recover(made, context, epochs=1)
    assert recovered.epochs == 1
