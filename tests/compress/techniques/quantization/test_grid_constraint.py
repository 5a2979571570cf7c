from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from compress.network.layers import WeightedLayer
from compress.techniques.quantization.constraint import (
    GridConstraint,
    Sharing,
    largest_divisor,
)
from compress.techniques.quantization.learned_step import LearnedStep
from compress.techniques.quantization.noise import QuantNoise, UniformNoise
from compress.techniques.quantization.observers import GridRule
from compress.training import constraints
from compress.training.constraints import WeightConstraint
from compress.values.errors import NumericalError

MINMAX4 = GridRule(bits=4, observer="minmax")


class HalfMask(WeightConstraint):
    """Switches every second weight off."""

    def forward(self, weight):
        keep = torch.arange(weight.numel()).reshape(weight.shape) % 2
        return weight * keep


def layer_of(weight, *, norm=None):
    weight = torch.as_tensor(weight, dtype=torch.float32)
    if weight.ndim == 2:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        module = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), bias=False)
    with torch.no_grad():
        module.weight.copy_(weight)
    return WeightedLayer(name="layer", module=module, norm=norm)


def random_layer(*shape, seed=0):
    return layer_of(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def on_grid(layer, rule=MINMAX4, **sharing):
    constraint = GridConstraint(layer, rule, Sharing(**sharing)).eval()
    constraints.constrain(layer.module, constraint)
    return constraint


def test_weights_are_rounded_per_channel():
    layer = layer_of([[7.0, 1.4, -0.6], [14.0, -3.2, 0.9]])
    on_grid(layer)
    assert layer.module.weight.tolist() == [[7, 1, -1], [14, -4, 0]]


def test_the_gradient_passes_straight_through_the_rounding():
    layer = layer_of([[7.0, 1.4, -0.6]])
    on_grid(layer)
    (layer.module.weight * torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    assert layer.module.parametrizations.weight.original.grad.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("rule", [GridRule(bits=1), GridRule(bits=2), GridRule(bits=8), MINMAX4])
@pytest.mark.parametrize("granularity", ["channel", "tensor", "group"])
@pytest.mark.parametrize("kind", [GridConstraint, LearnedStep])
def test_the_file_holds_exactly_what_the_network_computes_with(rule, granularity, kind):
    layer = random_layer(6, 8, 3, 3)
    sharing = Sharing(granularity=granularity, group_size=16)
    constraints.constrain(layer.module, kind(layer, rule, sharing).eval())
    stored = constraints.on(layer.module)[-1].stored(constraints.layers.latent(layer.module))
    np.testing.assert_array_equal(stored.values(), layer.module.weight.detach().numpy())
    assert np.abs(stored.integers_OI).max() <= rule.largest


@given(bits=st.integers(2, 7), seed=st.integers(0, 99), one_step=st.booleans())
def test_affine_codes_span_no_more_than_their_bits(bits, seed, one_step):
    layer = random_layer(4, 9, seed=seed)
    sharing = Sharing(granularity="tensor" if one_step else "channel")
    grid = GridConstraint(layer, GridRule(bits=bits, scheme="affine"), sharing).eval()
    stored = grid.stored(layer.module.weight)
    rows = stored.integers_OI.astype(int).reshape(1 if one_step else 4, -1)
    assert np.ptp(rows, axis=1).max() <= 2**bits - 1
    np.testing.assert_array_equal(stored.values(), grid(layer.module.weight).detach().numpy())


def test_groups_are_consecutive_inputs_with_a_scale_each():
    layer = layer_of([[7.0, 3.0, 0.7, 0.3]])
    grid = on_grid(layer, granularity="group", group_size=2)
    np.testing.assert_allclose(layer.module.weight.detach(), [[7.0, 3.0, 0.7, 0.3]], rtol=1e-6)
    assert grid.stored(torch.tensor([[7.0, 3.0, 0.7, 0.3]])).scale.shape == (1, 2)


@pytest.mark.parametrize(("inputs", "limit", "size"), [(144, 32, 24), (64, 32, 32), (7, 4, 1)])
def test_a_group_is_the_largest_part_that_divides_a_channel(inputs, limit, size):
    assert largest_divisor(inputs, limit) == size


def test_a_grid_per_tensor_gives_the_folded_weight_one_scale():
    norm = nn.BatchNorm2d(3).eval()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -0.5, 1.0]))
        norm.running_var.copy_(torch.tensor([1.0, 4.0, 0.25]))
    layer = random_layer(3, 4, 3, 3)
    layer = WeightedLayer(name="layer", module=layer.module, norm=norm)
    grid = on_grid(layer, granularity="tensor")
    factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
    stored = grid.stored(constraints.layers.latent(layer.module))
    folded = stored.scale * np.abs(factor)
    np.testing.assert_allclose(folded, folded[0], rtol=1e-6)


def test_a_grid_per_tensor_follows_its_batchnorm_when_refreshed():
    norm = nn.BatchNorm2d(2).eval()
    layer = WeightedLayer(name="layer", module=random_layer(2, 3, 3, 3).module, norm=norm)
    grid = on_grid(layer, granularity="tensor")
    with torch.no_grad():
        norm.running_var.copy_(torch.tensor([1.0, 16.0]))
    constraints.refresh(layer.module)
    first, second = grid.scales().tolist()
    assert second / first == pytest.approx(4.0, rel=1e-4)


def test_a_channel_that_batchnorm_switches_off_rounds_to_zero():
    norm = nn.BatchNorm2d(2).eval()
    with torch.no_grad():
        norm.weight[0] = 0.0
    layer = WeightedLayer(name="layer", module=random_layer(2, 3, 3, 3).module, norm=norm)
    on_grid(layer, granularity="tensor")
    assert layer.module.weight[0].abs().max() == 0
    assert layer.module.weight[1].abs().max() > 0


def test_refreshing_follows_a_weight_that_was_trained():
    layer = layer_of([[7.0, 1.4]])
    grid = on_grid(layer)
    with torch.no_grad():
        constraints.layers.latent(layer.module).copy_(torch.tensor([[14.0, 2.9]]))
    constraints.refresh(layer.module)
    assert grid.scales().tolist() == [2.0]


def test_refreshing_leaves_weights_alone_that_lie_on_their_grid():
    layer = layer_of([[7.0, 1.4], [7.0, 1.4]])
    grid = on_grid(layer)
    with torch.no_grad():
        constraints.layers.latent(layer.module).copy_(torch.tensor([[3.0, 1.0], [3.0, 1.5]]))
    constraints.refresh(layer.module)
    assert grid.scales().tolist() == [1.0, pytest.approx(3 / 7)]
    assert layer.module.weight[0].tolist() == [3, 1]


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_zeros_of_a_mask_stay_exact_zeros(bits, scheme):
    layer = random_layer(4, 8)
    constraints.constrain(layer.module, HalfMask())
    rule = GridRule(bits=bits, scheme=scheme if bits > 1 else "symmetric")
    grid = on_grid(layer, rule)
    masked = HalfMask()(constraints.layers.latent(layer.module))
    assert (layer.module.weight.flatten()[::2] == 0).all()
    assert (grid.stored(masked).integers_OI.ravel()[::2] == 0).all()


def test_a_grid_that_is_not_trained_against_rounds_only_in_evaluation():
    layer = layer_of([[7.0, 1.4]])
    grid = GridConstraint(layer, MINMAX4, Sharing(), trains=False)
    weight = layer.module.weight
    assert torch.equal(grid.train()(weight), weight)
    assert grid.eval()(weight).tolist() == [[7, 1]]


def test_a_weight_that_became_nan_is_refused_when_refreshed():
    layer = layer_of([[7.0, 1.4]])
    on_grid(layer)
    with torch.no_grad():
        constraints.layers.latent(layer.module)[0, 0] = torch.nan
    with pytest.raises(NumericalError, match="NaN"):
        constraints.refresh(layer.module)


def test_a_copy_of_a_network_follows_its_own_batchnorm():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)).eval()
    layer = WeightedLayer(name="0", module=module[0], norm=module[1])
    grid = on_grid(layer, granularity="tensor")
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin[1].running_var[1] *= 4.0
    constraints.refresh(twin)
    constraints.refresh(module)
    first, second = constraints.on(twin[0])[0].scales().tolist()
    assert second / first == pytest.approx(2.0, rel=1e-4)
    assert grid.scales()[0] == grid.scales()[1]


def test_a_learned_step_has_the_gradient_of_the_paper():
    layer = layer_of([[7.0, 1.4, -0.6, 9.0]])
    learned = LearnedStep(layer, GridRule(bits=4, observer="minmax"), Sharing())
    with torch.no_grad():
        learned.step_S.fill_(1.0)
    learned(layer.module.weight).sum().backward()
    # Equation 3: round(v) - v inside the range, the largest integer outside; N = 4, Q_P = 7.
    expected = (0 + (1 - 1.4) + (-1 + 0.6) + 7) / np.sqrt(4 * 7)
    assert learned.step_S.grad.item() == pytest.approx(expected, rel=1e-5)
    assert layer.module.weight.grad.tolist() == [[1, 1, 1, 0]]


def test_a_learned_step_of_one_bit_moves_towards_the_mean_magnitude():
    layer = layer_of([[3.0, -1.0]])
    learned = LearnedStep(layer, GridRule(bits=1), Sharing())
    assert learned(layer.module.weight).tolist() == [[2, -2]]
    with torch.no_grad():
        learned.step_S.fill_(4.0)
    ((learned(layer.module.weight) - layer.module.weight.detach()) ** 2).sum().backward()
    assert learned.step_S.grad.item() > 0


def test_a_learned_step_is_a_parameter_without_decay_and_is_not_refitted():
    layer = random_layer(3, 6)
    learned = LearnedStep(layer, MINMAX4, Sharing(granularity="group", group_size=3))
    constraints.constrain(layer.module, learned)
    names = [name for name, _ in layer.module.named_parameters()]
    assert "parametrizations.weight.0.step_S" in names
    assert learned.step_S.ndim == 1
    with torch.no_grad():
        learned.step_S.mul_(1.1)
    before = learned.step_S.detach().clone()
    constraints.refresh(layer.module)
    assert torch.equal(learned.step_S, before)


def test_a_step_below_zero_still_gives_a_scale():
    layer = layer_of([[7.0, 1.4]])
    learned = LearnedStep(layer, MINMAX4, Sharing()).eval()
    with torch.no_grad():
        learned.step_S.fill_(-1.0)
    assert learned(layer.module.weight).tolist() == [[7, 1]]
    assert learned.stored(layer.module.weight).scale.tolist() == [1]


def test_quantization_noise_rounds_its_share_of_the_weights_while_it_trains():
    layer = random_layer(50, 40)
    weight = layer.module.weight.detach()
    noise = QuantNoise(layer, MINMAX4, Sharing(), seed=1, probability=0.3).train()
    rounded = noise.rounded(weight)
    noisy = noise(weight)
    changed = noisy != weight
    assert torch.equal(noisy[changed], rounded[changed])
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert torch.equal(noise.eval()(weight), rounded)


def test_quantization_noise_ends_with_every_weight_rounded():
    layer = random_layer(5, 40)
    noise = QuantNoise(layer, MINMAX4, Sharing(), seed=1, probability=0.5).train()
    noise.advance(0.5)
    assert noise.probability == 0.75
    noise.advance(1.0)
    weight = layer.module.weight.detach()
    assert torch.equal(noise(weight), noise.rounded(weight))


def test_uniform_noise_is_as_wide_as_a_step_and_spares_zeros():
    weight = torch.full((2, 2000), 3.5)
    weight[:, 0], weight[:, 1] = 7.0, 0.0
    layer = layer_of(weight)
    noise = UniformNoise(layer, MINMAX4, Sharing(), seed=1).train()
    moved = noise(layer.module.weight.detach()) - weight
    assert moved.abs().max() <= 0.5
    assert float(moved.std()) == pytest.approx(12**-0.5, rel=0.05)
    assert (moved[:, 1] == 0).all()
    assert noise.eval()(layer.module.weight)[0, 0] == 7


@pytest.mark.parametrize("kind", ["some", "uniform"])
def test_noise_is_new_in_every_step_and_repeats_with_the_epoch(kind):
    layer = random_layer(3, 40)
    weight = layer.module.weight.detach()

    def epoch(*, steps_before):
        if kind == "some":
            noise = QuantNoise(layer, MINMAX4, Sharing(), seed=1, probability=0.5)
        else:
            noise = UniformNoise(layer, MINMAX4, Sharing(), seed=1)
        noise.train()
        for _ in range(steps_before):
            noise(weight)
        noise.refresh(weight)
        return [noise(weight), noise(weight)]

    first, again = epoch(steps_before=0), epoch(steps_before=3)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
