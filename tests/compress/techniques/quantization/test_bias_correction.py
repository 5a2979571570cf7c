from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.network.layers import WeightedLayer
from compress.techniques.quantization import bias_correction

X = torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(0)) + 0.5


def chain(*, bias=False):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=bias),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1, bias=bias),
        nn.BatchNorm2d(5),
        nn.Flatten(),
        nn.Linear(180, 2),
    ).eval()
    with torch.no_grad():
        module[1].running_mean.normal_()
        module[1].running_var.uniform_(0.5, 2)
        module[1].weight.normal_()
    found = [
        WeightedLayer(name="0", module=module[0], norm=module[1]),
        WeightedLayer(name="3", module=module[3], norm=module[4]),
        WeightedLayer(name="6", module=module[6], norm=None),
    ]
    return module, found


@torch.no_grad()
def damage_(module):
    for part in (module[0], module[3], module[6]):
        part.weight.copy_((part.weight * 4).round() / 3)


def normalised(module, index):
    return module[: index + 1](X).detach()


def test_mean_and_variance_of_a_batchnorms_output_come_back():
    module, found = chain()
    before = bias_correction.output_statistics(module, found, X)
    wanted = {index: normalised(module, index) for index in (1, 4, 6)}
    damage_(module)
    assert bias_correction.correct_(module, found, X, before=before) == ()
    for index, axes in ((1, (0, 2, 3)), (4, (0, 2, 3)), (6, 0)):
        got = normalised(module, index)
        torch.testing.assert_close(got.mean(axes), wanted[index].mean(axes), atol=1e-4, rtol=1e-4)
    for index in (1, 4):
        got, expected = normalised(module, index).var((0, 2, 3)), wanted[index].var((0, 2, 3))
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


def test_the_spread_may_be_left_as_it_is():
    module, found = chain()
    before = bias_correction.output_statistics(module, found, X)
    wanted, spread = normalised(module, 1).mean((0, 2, 3)), module[1].running_var.clone()
    damage_(module)
    bias_correction.correct_(module, found, X, before=before, spread=False)
    torch.testing.assert_close(normalised(module, 1).mean((0, 2, 3)), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(module[1].running_var, spread)


def test_nothing_moves_where_nothing_was_rounded():
    module, found = chain()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    before = bias_correction.output_statistics(module, found, X)
    bias_correction.correct_(module, found, X, before=before)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor.float(), state[name].float(), atol=1e-5, rtol=1e-5)


def test_a_linear_layers_bias_takes_the_hand_computed_shift():
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0]]))
        linear.bias.fill_(0.5)
    found = [WeightedLayer(name="fc", module=linear, norm=None)]
    x = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    before = bias_correction.output_statistics(linear, found, x)
    assert before["fc"].mean_O.tolist() == [4.5]
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 1.0]]))
    bias_correction.correct_(linear, found, x, before=before)
    assert linear.bias.tolist() == [1.5]


def test_a_layer_with_nowhere_to_put_it_is_named():
    linear = nn.Linear(2, 1, bias=False)
    found = [WeightedLayer(name="fc", module=linear, norm=None)]
    x = torch.ones(3, 2)
    before = bias_correction.output_statistics(linear, found, x)
    assert bias_correction.correct_(linear, found, x, before=before) == ("fc",)


def test_a_channel_that_rounding_switched_off_stays_finite():
    module, found = chain()
    before = bias_correction.output_statistics(module, found, X)
    with torch.no_grad():
        module[0].weight[0] = 0
    bias_correction.correct_(module, found, X, before=before)
    assert torch.isfinite(module(X)).all()
    wanted = before["0"].mean_O[0]
    assert module[1].running_var[0] > 0
    assert float(wanted) != pytest.approx(0.0, abs=1e-6)
