from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from compress.techniques.quantization import rounding
from compress.techniques.quantization.rounding import MatrixGrid

ROUNDINGS = {"gptq": rounding.gptq, "adaround": rounding.adaround}


def grid_of(weight, *, scale=1.0, top=7.0, has_zero=True):
    ones = torch.ones_like(weight)
    return MatrixGrid(
        scale_OK=ones * scale, low_OK=-ones * top, high_OK=ones * top, has_zero=has_zero
    )


def correlated(columns, *, seed=0, rank=3):
    """Moments of inputs that move together: where rounding can make up for its errors."""
    random = torch.Generator().manual_seed(seed)
    factors = torch.randn(columns, rank, generator=random)
    return factors @ factors.T + 0.05 * torch.eye(columns)


def error(weight, integers, moment, scale=1.0):
    return float(rounding.output_error(weight - integers * scale, moment).sum())


def test_the_output_error_is_the_mean_square_over_the_inputs():
    random = torch.Generator().manual_seed(0)
    x_NK = torch.randn(500, 4, generator=random)
    wrong_OK = torch.randn(3, 4, generator=random)
    moment = x_NK.T @ x_NK / len(x_NK)
    expected = (x_NK @ wrong_OK.T).square().mean(dim=0)
    torch.testing.assert_close(rounding.output_error(wrong_OK, moment), expected)


def test_gptq_makes_up_for_an_error_in_the_next_column():
    # Two inputs that are nearly equal: only the sum of the two weights matters, and 0.8 is
    # nearer to 1 = 1 + 0 than to what both round to by themselves.
    moment = torch.tensor([[1.01, 1.0], [1.0, 1.0]])
    weight = torch.tensor([[0.4, 0.4]])
    assert rounding.gptq(weight, moment, grid_of(weight)).sum() == 1
    assert grid_of(weight).nearest(weight).sum() == 0


@pytest.mark.parametrize("name", ROUNDINGS)
def test_independent_inputs_round_to_the_nearest(name):
    weight = torch.tensor([[0.2, 1.7, -3.4, 9.0], [0.0, -0.9, 2.2, -8.0]])
    integers = ROUNDINGS[name](weight, torch.eye(4), grid_of(weight))
    assert integers.tolist() == [[0, 2, -3, 7], [0, -1, 2, -7]]


@pytest.mark.parametrize("name", ROUNDINGS)
def test_correlated_inputs_lose_far_less_than_by_rounding_to_the_nearest(name):
    weight = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
    moment, grid = correlated(24), grid_of(weight, scale=0.6, top=3.0)
    found = error(weight, ROUNDINGS[name](weight, moment, grid), moment, 0.6)
    assert found < 0.5 * error(weight, grid.nearest(weight), moment, 0.6)


@pytest.mark.parametrize("name", ROUNDINGS)
def test_small_problems_are_solved_nearly_as_well_as_by_trying_everything(name):
    weight = torch.rand(1, 6, generator=torch.Generator().manual_seed(2)) * 4 - 2
    moment, grid = correlated(6, seed=3), grid_of(weight)
    choices = itertools.product([0.0, 1.0], repeat=6)
    every = [error(weight, weight.floor() + torch.tensor(c)[None], moment) for c in choices]
    found = error(weight, ROUNDINGS[name](weight, moment, grid), moment)
    assert found <= np.quantile(every, 0.1)


def test_adaround_only_chooses_between_the_two_neighbours():
    weight = torch.randn(5, 20, generator=torch.Generator().manual_seed(4)) * 3
    integers = rounding.adaround(weight, correlated(20), grid_of(weight))
    inside = weight.abs() < 7
    assert ((integers - weight).abs()[inside] < 1).all()
    assert torch.equal(integers, integers.round())


@pytest.mark.parametrize("name", ROUNDINGS)
def test_integers_stay_on_the_grid(name):
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(5)) * 10
    integers = ROUNDINGS[name](weight, correlated(10), grid_of(weight, top=3.0))
    assert integers.abs().max() == 3
    assert torch.equal(integers, integers.round())


@pytest.mark.parametrize("name", ROUNDINGS)
def test_pruned_weights_stay_zero(name):
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(6))
    weight[:, ::3] = 0
    integers = ROUNDINGS[name](weight, correlated(12), grid_of(weight, scale=0.3))
    assert (integers[:, ::3] == 0).all()


@pytest.mark.parametrize("name", ROUNDINGS)
def test_one_bit_chooses_signs(name):
    weight = torch.randn(3, 10, generator=torch.Generator().manual_seed(7))
    grid = grid_of(weight, scale=0.8, top=1.0, has_zero=False)
    moment = correlated(10)
    integers = ROUNDINGS[name](weight, moment, grid)
    assert set(integers.unique().tolist()) == {-1, 1}
    nearest = error(weight, grid.nearest(weight), moment, 0.8)
    assert error(weight, integers, moment, 0.8) < nearest


@pytest.mark.parametrize("name", ROUNDINGS)
def test_an_input_that_is_always_zero_is_no_obstacle(name):
    weight = torch.tensor([[0.6, 1.2, -0.7]])
    moment = torch.diag(torch.tensor([1.0, 0.0, 2.0]))
    integers = ROUNDINGS[name](weight, moment, grid_of(weight))
    assert integers[0, [0, 2]].tolist() == [1, -1]
    assert torch.isfinite(integers).all()


@pytest.mark.parametrize("name", ROUNDINGS)
def test_the_same_weight_is_rounded_the_same_way(name):
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(8))
    first, again = (
        ROUNDINGS[name](weight, correlated(12), grid_of(weight, scale=0.4)) for _ in range(2)
    )
    assert torch.equal(first, again)
