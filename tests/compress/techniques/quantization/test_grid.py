from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.techniques.quantization import grid
from compress.values.errors import NumericalError

WEIGHTS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.floats(-(2.0**20), 2.0**20, width=32),
)
ENDS = st.floats(-(2.0**40), 2.0**40, width=32)


def quantize(weight, bits):
    """Integers on the grid of least squared error, and a scale per channel."""
    scale = grid.best_scale(weight.reshape(len(weight), -1), bits)
    step = per_channel(scale, weight)
    return np.clip(np.rint(weight / step), -grid.top(bits), grid.top(bits)).astype(np.int8), scale


def per_channel(scale, weight):
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


@given(weight=WEIGHTS, bits=st.sampled_from([4, 8]))
def test_a_weight_inside_the_clip_moves_by_at_most_half_a_step(weight, bits):
    q, scale = quantize(weight, bits)
    step = per_channel(scale.astype(np.float64), weight)
    inside = np.abs(weight) <= step * grid.top(bits)
    assert q.dtype == np.int8
    assert np.abs(q).max() <= 2 ** (bits - 1) - 1
    assert (np.abs(weight - q * step)[inside] <= (step / 2 * (1 + 1e-5) + 0 * weight)[inside]).all()


@given(weight=WEIGHTS, bits=st.sampled_from([4, 8]))
def test_the_searched_scale_is_never_worse_than_covering_the_largest_weight(weight, bits):
    def squared_error(scale):
        step = per_channel(scale.astype(np.float64), weight)
        q = np.clip(np.rint(weight / step), -grid.top(bits), grid.top(bits))
        return ((weight - q * step) ** 2).reshape(len(weight), -1).sum(axis=1)

    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    covering = np.where(largest > 0, np.maximum(largest / grid.top(bits), 1e-37), 1)
    _, scale = quantize(weight, bits)
    slack = 1e-4 * (weight.astype(np.float64) ** 2).reshape(len(weight), -1).sum(axis=1)
    assert (squared_error(scale) <= squared_error(covering) + slack).all()


def test_weights_on_the_grid_come_back_exactly():
    weight = np.arange(-7, 8, dtype=np.float32)[None] * np.float32([[0.5], [2.0]])
    q, scale = quantize(weight, 4)
    np.testing.assert_array_equal(scale, np.float32([0.5, 2.0]))
    np.testing.assert_array_equal(q * scale[:, None], weight)


def test_four_bits_clip_a_lone_outlier_to_serve_the_many():
    weight = np.full((1, 4096), 0.5, np.float32)
    weight[0, ::2] = 0.3
    weight[0, 0] = 3.5
    _, scale = quantize(weight, 4)
    assert scale[0] < 0.5


def test_a_channel_of_zeros_has_scale_one_and_stays_zero():
    q, scale = quantize(np.float32([[0, 0, 0], [1, -1, 0.5]]), 8)
    assert scale[0] == 1
    np.testing.assert_array_equal(q[0], 0)
    assert scale[1] < 1


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (0.0, 255.0, 1.0, 0),
        (-128.0, 127.0, 1.0, 128),
        (-255.0, 0.0, 1.0, 255),
        (1.0, 51.0, 0.2, 0),
        (-51.0, -1.0, 0.2, 255),
        (0.0, 0.0, 1.0, 0),
    ],
)
def test_activation_grids_have_their_closed_form(low, high, scale, zero_point):
    got_scale, got_zero_point = grid.affine_parameters(low, high)
    assert got_scale == pytest.approx(scale)
    assert got_zero_point == zero_point
    assert got_zero_point.dtype == np.uint8


@given(ends=st.tuples(ENDS, ENDS))
def test_every_value_of_the_range_and_zero_lie_within_a_step_of_the_grid(ends):
    low, high = sorted(ends)
    scale, zero_point = grid.affine_parameters(low, high)
    for value in (low, high, 0.0, (low + high) / 2):
        index = np.clip(np.rint(value / float(scale)) + int(zero_point), 0, 255)
        back = (index - int(zero_point)) * float(scale)
        assert abs(back - value) <= float(scale) * 1.01


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1.0), (0.0, np.inf)])
def test_a_range_that_is_not_finite_is_refused(low, high):
    with pytest.raises(NumericalError, match="range"):
        grid.affine_parameters(low, high)


def squared_error(weight_RI, scale_R, low_R, high_R):
    step_R1 = scale_R.astype(np.float64)[:, None]
    integers_RI = np.clip(np.rint(weight_RI / step_R1), low_R[:, None], high_R[:, None])
    return ((weight_RI - integers_RI * step_R1) ** 2).sum(axis=1)


def least_error(weight_RI, low_R, high_R):
    """By trying twenty thousand scales."""
    covering_R = np.abs(weight_RI).max(axis=1) / np.maximum(high_R, -low_R)
    return np.min(
        [
            squared_error(weight_RI, covering_R * share, low_R, high_R)
            for share in np.linspace(0.05, 1.4, 20_000)
        ],
        axis=0,
    )


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("inputs", [1, 2, 9, 25])
def test_rows_of_few_weights_have_the_scale_of_least_squared_error(bits, inputs):
    weight = np.random.default_rng(bits).standard_normal((12, inputs)).astype(np.float32)
    high = np.full(12, float(grid.top(bits)))
    found = squared_error(weight, grid.best_scale(weight, bits), -high, high)
    assert (found <= 1.0001 * least_error(weight, -high, high) + 1e-12).all()


def test_rows_of_many_weights_come_near_it():
    weight = np.random.default_rng(1).standard_normal((6, 1152)).astype(np.float32)
    high = np.full(6, 127.0)
    found = squared_error(weight, grid.best_scale(weight, 8), -high, high)
    assert (found <= 1.15 * least_error(weight, -high, high)).all()


def test_a_scale_for_uneven_ends_is_the_best_of_its_zero_point():
    weight = np.random.default_rng(2).standard_normal((8, 9)).astype(np.float32) + 1
    low, high = np.full(8, -10.0), np.full(8, 53.0)
    found = squared_error(weight, grid.least_error_scale(weight, low, high), low, high)
    # Only rows whose largest weight is on the wide side are covered by the list of scales.
    assert (found <= 1.0001 * least_error(weight, low, high)).all()


def test_a_row_of_one_sign_that_has_no_integers_keeps_a_usable_scale():
    weight = -np.ones((2, 4), np.float32)
    found = grid.least_error_scale(weight, np.zeros(2, np.float32), np.full(2, 15, np.float32))
    assert (found == 1).all()
