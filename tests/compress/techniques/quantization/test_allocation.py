from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from compress.network import layers
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.layers import WeightedLayer
from compress.techniques.quantization import allocation, layer_inputs
from compress.techniques.quantization.config import Quantization
from compress.values.errors import InvalidCandidate


def halving(first):
    """Four times less damage with every bit: what rounding noise does."""
    return {bits: first * 4.0 ** (1 - bits) for bits in allocation.WIDTHS}


def total(damage, bits):
    return sum(damage[name][width] for name, width in bits.items())


def test_a_sensitive_layer_gets_the_bits_of_an_insensitive_one():
    damage = {"a": halving(4.0**3), "b": halving(1.0)}
    bits = allocation.spend(damage, {"a": 10, "b": 10}, budget_bits=80)
    assert bits == {"a": 6, "b": 2} or (bits["a"] - bits["b"] == 3 and sum(bits.values()) == 7)


def test_equal_layers_get_equal_bits():
    damage = {name: halving(1.0) for name in "abc"}
    assert set(allocation.spend(damage, dict.fromkeys("abc", 7), budget_bits=84).values()) == {4}


@given(
    first=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    sizes=st.lists(st.integers(1, 50), min_size=3, max_size=3),
    average=st.floats(1.0, 8.0),
)
def test_the_budget_is_never_exceeded_and_nothing_more_would_fit(first, sizes, average):
    names = ["a", "b", "c"]
    damage = {name: halving(value) for name, value in zip(names, first, strict=True)}
    weights = dict(zip(names, sizes, strict=True))
    budget = average * sum(sizes)
    bits = allocation.spend(damage, weights, budget_bits=budget)
    left = budget - sum(weights[name] * bits[name] for name in names)
    assert left >= -1e-9
    assert all(bits[name] == 8 or weights[name] > left for name in names)


@given(st.lists(st.floats(1e-2, 1e2), min_size=3, max_size=3), st.integers(6, 15))
def test_layers_of_one_size_get_the_best_bits_there_are(first, budget):
    names = ["a", "b", "c"]
    damage = {name: halving(value) for name, value in zip(names, first, strict=True)}
    bits = allocation.spend(damage, dict.fromkeys(names, 1), budget_bits=budget)
    every = (
        dict(zip(names, widths, strict=True))
        for widths in itertools.product(allocation.WIDTHS, repeat=3)
        if sum(widths) <= budget
    )
    best = min(total(damage, candidate) for candidate in every)
    assert total(damage, bits) <= best * (1 + 1e-9)


def test_a_width_that_only_pays_together_with_the_next_is_skipped():
    stuck = halving(1.0) | {1: 10.0, 2: 10.0, 3: 1.0}
    damage = {"a": stuck, "b": dict.fromkeys(allocation.WIDTHS, 0.0)}
    bits = allocation.spend(damage, {"a": 1, "b": 1}, budget_bits=4)
    assert bits == {"a": 3, "b": 1}


def test_less_than_one_bit_per_weight_is_refused():
    with pytest.raises(InvalidCandidate, match="below 1 bit"):
        allocation.spend({"a": halving(1.0)}, {"a": 10}, budget_bits=9)


def test_edges_have_8_bits_and_patterns_have_the_last_word(trained):
    found = layers.trained(trained, technique="quantization")
    names = [layer.name for layer in found]
    assert allocation.fixed(found, Quantization()) == {"stem": 8, "classifier": 8}
    config = Quantization(layer_bits="blocks.*=3, blocks.2.second=5, stem=6", edges_8bit=True)
    bits = allocation.fixed(found, config)
    assert bits["stem"] == 6
    assert bits["classifier"] == 8
    assert bits["blocks.2.second"] == 5
    assert {bits[name] for name in names if name.startswith("blocks.0")} == {3}
    assert allocation.fixed(found, Quantization(edges_8bit=False)) == {}


def test_a_pattern_without_a_layer_is_refused(trained):
    found = layers.trained(trained, technique="quantization")
    with pytest.raises(InvalidCandidate, match="'layer9' matches no layer"):
        allocation.fixed(found, Quantization(layer_bits="layer9=3"))


def test_the_damage_of_a_linear_network_is_what_its_logits_lose():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    x = torch.randn(4000, 6)
    layer = WeightedLayer(name="0", module=module[0], norm=None)
    moment = (x.T @ x / len(x))[None]
    wrong = torch.randn(5, 6)
    # Every direction of the logits once, instead of a random one.
    pull = (module[1].weight ** 2).sum(dim=0).detach()
    damage = allocation.damages(
        layer,
        rounded=lambda bits: module[0].weight.detach() - wrong / bits,
        moment_SKK=moment,
        pull_O=pull,
    )
    alone = torch.stack(
        [
            (x @ wrong[o, :, None] * module[1].weight.detach()[None, :, o]).square().sum(dim=1)
            for o in range(5)
        ]
    )
    assert damage[1] == pytest.approx(float(alone.mean(dim=1).sum()), rel=1e-4)
    assert damage[2] == pytest.approx(damage[1] / 4, rel=1e-5)


def test_pulls_are_the_squared_gradients_of_signed_logits():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 1))
    found = [
        WeightedLayer(name="0", module=module[0], norm=None),
        WeightedLayer(name="2", module=module[2], norm=None),
    ]
    pulls = allocation.output_pulls(module, found, torch.randn(5, 1, 4, 4), moments={}, seed=3)
    # One logit: its sign squares to one, and the gradient at the convolution is a row of weights.
    torch.testing.assert_close(pulls["2"], torch.ones(1))
    expected = module[2].weight.detach().view(4, 4).square().sum(dim=1)
    torch.testing.assert_close(pulls["0"], expected)


def test_gates_pull_as_their_biases_do_where_there_is_one_step():
    """With one column the gradient of a weight is that of its row's bias, times the input."""

    class OneStep(nn.Module):
        def __init__(self):
            super().__init__()
            drawn = (torch.randn(shape, generator=generator) for shape in ((12, 19), (24,)))
            self.gates = Recurrent("LSTM", *drawn, directions=1, states=(False, False))

        def forward(self, x):
            return self.gates(x.reshape(1, 1, 16))[0].sum().reshape(1, 1)

    generator = torch.Generator().manual_seed(0)
    module, x = OneStep(), torch.randn(1, 1, 4, 4, generator=generator)
    found = [WeightedLayer(name="gates", module=module.gates, norm=None)]
    moments = layer_inputs.second_moments(module, found, x)
    pulls = allocation.output_pulls(module, found, x, moments=moments, seed=0)
    module(x).sum().backward()
    assert module.gates.biases is not None
    assert module.gates.biases.grad is not None
    torch.testing.assert_close(pulls["gates"], module.gates.biases.grad[:12].square())
