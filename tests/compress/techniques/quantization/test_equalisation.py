from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from compress.network import layers
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.techniques.quantization import equalisation
from compress.values.errors import InvalidCandidate

X = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """A convolution with BatchNorm, a depthwise one, a pointwise one, and a classifier."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.act = nn.ReLU()
        self.pointwise = nn.Conv2d(6, 4, 1)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        x = functional.relu(self.norm(self.first(x)))
        x = self.pointwise(self.act(self.depthwise(x)))
        return self.classifier(x.mean((2, 3)))


class Branching(Plain):
    def forward(self, x):
        if x.sum() > 0:
            return super().forward(x)
        return super().forward(-x)


def network(kind=Plain):
    torch.manual_seed(0)
    module = kind().eval()
    with torch.no_grad():
        module.norm.running_var.uniform_(0.1, 4)
        module.norm.running_mean.normal_()
        module.norm.weight.uniform_(-2, 2)
        module.depthwise.weight.mul_(torch.logspace(-1, 1, 6).view(-1, 1, 1, 1))
    return Network(
        module=module,
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(2, 8, 8),
        num_classes=3,
    )


def pairs_of(net, *, exclude=""):
    found = layers.trained(net, exclude=exclude, technique="quantization")
    return equalisation.pairs(net.module, found)


def names(pairs):
    return [(pair.first.name, pair.second.name) for pair in pairs]


@torch.no_grad()
def ranges(pair):
    first, second = pair.first, pair.second.module
    before = first.module.weight.flatten(1).abs().amax(1) * layers.norm_factor(first).abs().float()
    axis = 1 if second.weight.shape[1] > 1 else 0
    return before, second.weight.transpose(0, axis).flatten(1).abs().amax(1)


def test_factors_balance_the_geometric_mean():
    factor = equalisation.factors(torch.tensor([8.0, 1.0, 0.0]), torch.tensor([2.0, 4.0, 3.0]))
    assert factor.tolist() == [2.0, 0.5, 1.0]


def test_pairs_have_a_relu_between_them_and_no_other_reader():
    assert names(pairs_of(network())) == [("first", "depthwise"), ("depthwise", "pointwise")]


def test_a_residual_network_has_a_pair_in_every_block_and_none_across_the_sum(trained):
    assert names(pairs_of(trained)) == [
        (f"blocks.{index}.first", f"blocks.{index}.second") for index in range(3)
    ]


def test_an_excluded_layer_is_in_no_pair():
    assert names(pairs_of(network(), exclude="first")) == [("depthwise", "pointwise")]


def test_equalised_layers_have_equal_ranges_and_the_network_answers_as_before():
    net = network()
    wanted = copy.deepcopy(net.module)(X)
    pairs = pairs_of(net)
    spread_before = max(float((r1 / r2).max() / (r1 / r2).min()) for r1, r2 in map(ranges, pairs))
    assert equalisation.equalise_(pairs) == 2
    for pair in pairs:
        before, after = ranges(pair)
        torch.testing.assert_close(before, after, rtol=0.02, atol=0)
    assert spread_before > 10
    torch.testing.assert_close(net.module(X), wanted, rtol=1e-3, atol=1e-4)


def test_what_is_balanced_already_does_not_change():
    net = network()
    pairs = pairs_of(net)
    for _ in range(5):
        equalisation.equalise_(pairs)
    state = copy.deepcopy(net.module.state_dict())
    assert equalisation.equalise_(pairs) == 0
    assert all(torch.equal(state[name], tensor) for name, tensor in net.module.state_dict().items())


def test_a_graph_that_cannot_be_traced_is_refused_with_a_way_out():
    with pytest.raises(InvalidCandidate, match=r"torch\.fx can trace.*set it to false"):
        pairs_of(network(Branching))
