from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.errors import NumericalError
from compress.techniques.quantization import grid

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
