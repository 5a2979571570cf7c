from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.techniques.quantization import observers
from compress.techniques.quantization.observers import GridRule
from compress.values.errors import NumericalError

ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.floats(-1024, 1024, width=32),
)


def fit(weight, **rule):
    return observers.fit(np.float32(weight), GridRule(**rule))


def test_one_bit_is_the_sign_times_the_mean_magnitude_of_what_is_not_pruned():
    found = fit([[1.0, -3.0, 2.0, 0.0], [0.5, -0.5, 0.5, 0.5], [0, 0, 0, 0]], bits=1)
    np.testing.assert_array_equal(found.scale_R, [2.0, 0.5, 1.0])
    np.testing.assert_array_equal(found.low_R, [-1, -1, -1])
    np.testing.assert_array_equal(found.high_R, [1, 1, 1])


@pytest.mark.parametrize(
    ("bits", "reduced", "largest"),
    [(2, False, 1), (3, False, 3), (4, False, 7), (7, False, 63), (8, False, 127), (8, True, 63)],
)
def test_symmetric_grids_have_the_documented_levels(bits, reduced, largest):
    found = fit([[largest, -0.5]], bits=bits, observer="minmax", reduced_range=reduced)
    np.testing.assert_array_equal(found.scale_R, [1.0])
    assert (found.low_R[0], found.high_R[0]) == (-largest, largest)


def test_the_mse_observer_of_a_reduced_range_searches_steps_for_seven_bits():
    weight = np.random.default_rng(0).normal(size=(2, 50))
    reduced = fit(weight, bits=8, reduced_range=True)
    np.testing.assert_array_equal(reduced.scale_R, fit(weight, bits=7).scale_R)
    assert reduced.high_R[0] == 63


def test_three_levels_are_chosen_for_the_many_not_for_the_outlier():
    weight = np.full((1, 200), 0.25)
    weight[0, 0] = 2.0
    assert fit(weight, bits=2, observer="minmax").scale_R[0] == 2.0
    assert fit(weight, bits=2).scale_R[0] == pytest.approx(0.25, rel=0.1)


def test_a_percentile_leaves_the_outlier_out():
    weight = np.concatenate([np.linspace(-1, 1, 1001), [50.0]])[None]
    found = fit(weight, bits=4, observer="percentile", percentile=99.0)
    assert found.scale_R[0] * 7 == pytest.approx(0.99, abs=0.01)


def test_an_affine_grid_covers_both_ends_with_an_exact_zero():
    found = fit([[-0.25, 1.0, 3.5], [1.0, 2.0, 15.0]], bits=4, scheme="affine", observer="minmax")
    np.testing.assert_allclose(found.scale_R, [0.25, 1.0])
    np.testing.assert_array_equal(found.low_R, [-1, 0])
    np.testing.assert_array_equal(found.high_R, [14, 15])


def test_an_affine_grid_serves_one_sided_weights_with_all_of_its_levels():
    weight = np.random.default_rng(1).uniform(0, 1, size=(3, 400)).astype(np.float32)
    errors = []
    for scheme in ("symmetric", "affine"):
        found = fit(weight, bits=3, scheme=scheme)
        rounded = observers.nearest(weight, found) * found.scale_R[:, None]
        errors.append(((weight - rounded) ** 2).mean())
    assert errors[1] < errors[0] / 3


@given(weight=ROWS, bits=st.integers(2, 7), observer=st.sampled_from(["mse", "percentile"]))
def test_every_affine_grid_contains_zero_and_fits_int8(weight, bits, observer):
    found = observers.fit(weight, GridRule(bits=bits, scheme="affine", observer=observer))
    assert (found.scale_R > 0).all()
    assert (found.low_R <= 0).all()
    assert (found.high_R >= 0).all()
    np.testing.assert_array_equal(found.high_R - found.low_R, 2**bits - 1)
    assert np.abs([found.low_R, found.high_R]).max() <= 127


@given(weight=ROWS, bits=st.integers(2, 7))
def test_the_affine_mse_grid_is_never_worse_than_covering_everything(weight, bits):
    errors = []
    for observer in ("mse", "minmax"):
        found = observers.fit(weight, GridRule(bits=bits, scheme="affine", observer=observer))
        rounded = observers.nearest(weight, found) * found.scale_R[:, None]
        errors.append(((weight - rounded).astype(np.float64) ** 2).sum(axis=1))
    assert (errors[0] <= errors[1] * (1 + 1e-3) + 1e-6).all()


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_affine_rows_of_few_weights_are_near_the_best_of_all_zero_points(bits):
    weight = (np.random.default_rng(3).normal(size=(8, 9)) + 0.4).astype(np.float32)
    found = fit(weight, bits=bits, scheme="affine")
    error = ((weight - observers.nearest(weight, found) * found.scale_R[:, None]) ** 2).sum(axis=1)
    last, least = 2**bits - 1, np.full(8, np.inf)
    covering = (weight.max(axis=1) - weight.min(axis=1)) / last
    for zero in range(last + 1):
        for share in np.linspace(0.3, 1.3, 100):
            scale = (covering * share)[:, None]
            integers = np.clip(np.rint(weight / scale), -zero, last - zero)
            least = np.minimum(least, ((weight - integers * scale) ** 2).sum(axis=1))
    assert (error <= 1.05 * least).all()


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_a_weight_that_is_no_number_is_refused(scheme):
    with pytest.raises(NumericalError, match="weight is NaN or infinite"):
        fit([[1.0, np.nan]], bits=4, scheme=scheme)
