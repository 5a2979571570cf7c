"""Strided 1x1 convolutions: the same sums from picked pixels, and memory that stays whole."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.running import strided
from compress.training import inference

CPU = torch.device("cpu")
TRAINS_A_NARROW_SHORTCUT = """
import torch
from compress.network.running import strided
torch.set_num_threads(1)
for channels in (1, 4, 6):
    plain = torch.nn.Conv2d(channels, 8, 1, stride=2, bias=False)
    shortcut = strided.pick_pixels_(plain).to(memory_format=torch.channels_last)
    x_BCHW = torch.randn(64, channels, 8, 8).to(memory_format=torch.channels_last)
    for step in range(60):
        shortcut(x_BCHW.requires_grad_(True)).sum().backward()
        others = [torch.randn(size + step) for size in range(1, 200)]
print("whole")
"""


def gradients(conv: nn.Module, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x_BCHW = x_BCHW.clone().requires_grad_(True)
    out_BCHW = conv(x_BCHW)
    return out_BCHW, *torch.autograd.grad(out_BCHW.square().sum(), [x_BCHW, *conv.parameters()])


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(9, 8, 1, stride=2),
        nn.Conv2d(9, 6, 1, stride=(3, 2), groups=3, bias=False),
        nn.Conv2d(9, 9, 3, stride=2, padding=1),
        nn.Conv2d(9, 9, 1),
    ],
    ids=["shortcut", "grouped", "3x3", "stride of 1"],
)
def test_picked_pixels_give_the_same_answers_and_gradients(conv: nn.Conv2d) -> None:
    conv = conv.double()
    x_BCHW = torch.randn(2, 9, 7, 8, dtype=torch.float64)
    picking = strided.pick_pixels_(copy.deepcopy(conv))
    for found, expected in zip(gradients(picking, x_BCHW), gradients(conv, x_BCHW), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_bent_weight_stays_bent() -> None:
    class Half(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight / 2

    conv = nn.Conv2d(4, 8, 1, stride=2)
    x_BCHW = torch.randn(2, 4, 6, 6)
    plain_BCHW = conv(x_BCHW)
    parametrize.register_parametrization(conv, "weight", Half())
    bent_BCHW = strided.pick_pixels_(conv)(x_BCHW)
    assert conv.bias is not None
    offset_C11 = conv.bias[:, None, None]
    torch.testing.assert_close(bent_BCHW - offset_C11, (plain_BCHW - offset_C11) / 2)


def test_a_copy_picks_with_its_own_weights_and_a_network_comes_back_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2))
    scaling = Normalisation(mean=(0.0,) * 4, std=(1.0,) * 4)
    whole = Network(module=network, normalisation=scaling, input_shape=(4, 4, 4), num_classes=8)
    moved = inference.copied_to(CPU, whole)
    again = copy.deepcopy(moved)
    nn.init.zeros_(again[0].weight)
    nn.init.zeros_(again[0].bias)
    x_BCHW = torch.randn(1, 4, 4, 4)
    assert not again(x_BCHW).any()
    assert moved(x_BCHW).any()
    back = inference.back_from_device(moved)
    assert "_conv_forward" not in back[0].__dict__
    torch.testing.assert_close(back(x_BCHW), network(x_BCHW))


@pytest.mark.proof
def test_training_a_narrow_shortcut_leaves_memory_whole() -> None:
    command = [sys.executable, "-c", TRAINS_A_NARROW_SHORTCUT]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "whole\n"), ended.stderr[-500:]
