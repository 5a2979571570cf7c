from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.export import activation_calibration, histogram, writer
from compress.export.histogram import Bins, RangeStatistics
from compress.training import calibration as observation

IMAGES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-(2.0**60), 2.0**60, width=32),
)


def clipped(values_NX, *, observer, percentile=99.9):
    """The range for values ``(N, X)``, or for those of one image."""
    values_NX = np.atleast_2d(np.asarray(values_NX, np.float32))
    seen = RangeStatistics(
        bins=Bins(low=float(values_NX.min()), high=float(values_NX.max())),
        observer=observer,
        percentile=percentile,
        usual=histogram.usual([histogram.varying(values_NX)]),
    )
    seen.add(values_NX)
    return seen.range()


def usual_images(number=200, size=100, *, seed=0):
    return np.random.default_rng(seed).exponential(size=(number, size)).astype(np.float32)


@given(values_NX=IMAGES)
def test_every_value_is_counted_once_in_the_bin_that_holds_it(values_NX):
    bins = Bins(low=float(values_NX.min()), high=float(values_NX.max()))
    counts_NB = bins.count(values_NX)
    assert counts_NB.shape == (len(values_NX), bins.number)
    assert (counts_NB.sum(axis=1) == values_NX.shape[1]).all()
    starts_B, ends_B = bins.edges[:-1], bins.edges[1:]
    least = bins.largest * 2.0**-22
    for row_B, values_X in zip(counts_NB, values_NX, strict=True):
        (found,) = np.nonzero(row_B)
        for value in values_X[np.abs(values_X) > least]:
            assert any(starts_B[bin_] <= value <= ends_B[bin_] for bin_ in found)


def test_a_percentile_cuts_as_much_below_as_above():
    low, high = clipped(np.linspace(-1, 1, 100_001), observer="percentile", percentile=90.0)
    assert low == pytest.approx(-0.9, abs=0.04)
    assert high == pytest.approx(0.9, abs=0.04)


def test_all_percent_are_the_extremes():
    low, high = clipped([-2.0, 0.5, 6.0], observer="percentile", percentile=100.0)
    assert (low, high) == pytest.approx((-2.0, 6.0))


def test_a_percentile_is_found_as_exactly_beside_an_outlier():
    usual = usual_images()
    outlier = np.append(usual, np.float32(1e6))
    plain, beside = (clipped(v.ravel(), observer="percentile")[1] for v in (usual, outlier))
    assert beside == pytest.approx(plain, rel=0.1)


def test_the_squared_error_of_usual_values_is_the_least_there_is():
    values_NX = usual_images(number=64, size=2000)

    def error(high):
        step = high / 255
        back = np.clip(np.rint(values_NX / step), 0, 255) * step
        return ((values_NX - back) ** 2).sum()

    low, high = clipped(values_NX, observer="mse")
    assert low >= 0
    tried = values_NX.max() * np.linspace(0.25, 1, 76)
    assert error(high) < 1.05 * min(map(error, tried))


def test_evenly_spread_values_are_not_clipped():
    assert clipped(np.linspace(0, 1, 50_000), observer="mse")[1] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("height", [200.0, 4e3, 4e6, -4e3])
@pytest.mark.parametrize("every", [50, 20])
def test_a_hot_value_in_few_images_does_not_set_the_range(height, every):
    values_NX = usual_images(number=200, size=100)
    without = clipped(values_NX, observer="mse")
    values_NX[::every, 7] = height
    low, high = clipped(values_NX, observer="mse")
    assert 0.5 * without[1] < high < 3 * without[1]
    assert low > -3 * without[1]


def test_a_large_value_in_every_image_is_kept():
    values_NX = usual_images()
    values_NX[:, 7] = 60.0
    assert clipped(values_NX, observer="mse")[1] == pytest.approx(60.0, rel=0.1)


def test_a_class_of_its_own_is_kept():
    values_NX = usual_images(number=200, size=100)
    values_NX[::10] *= 4
    assert clipped(values_NX, observer="mse")[1] > 0.7 * values_NX.max()


def test_zeros_of_a_relu_and_images_without_any_value_do_not_narrow_a_range():
    values_NX = usual_images(number=200, size=100)
    values_NX[:, ::10] *= 0
    high = clipped(values_NX, observer="mse")[1]
    sparse_NX = np.zeros((200, 2000), np.float32)
    sparse_NX[:, :100] = values_NX
    assert clipped(sparse_NX, observer="mse")[1] == pytest.approx(high, rel=0.2)
    sparse_NX[::2] = 0
    sparse_NX[1::4] = 0
    assert clipped(sparse_NX, observer="mse")[1] == pytest.approx(high, rel=0.3)


@pytest.mark.parametrize("unit", [1e-12, 1e12, 1e30])
def test_a_range_does_not_depend_on_the_unit(unit):
    values_NX = usual_images()
    values_NX[::50, 7] = 4e3
    expected = clipped(values_NX, observer="mse")[1]
    found = clipped(values_NX * np.float32(unit), observer="mse")[1] / np.float32(unit)
    assert found == pytest.approx(expected, rel=0.2)


def test_few_values_and_few_images_have_a_range():
    values_NX = np.float32([[0.5, 2.0, 1.0], [0.25, 1.5, 2.5]])
    assert clipped(values_NX, observer="mse")[1] == pytest.approx(2.5, rel=0.1)


def test_both_ends_are_cut_off_at_the_same_magnitude():
    values_NX = np.random.default_rng(0).normal(size=(100, 300)).astype(np.float32)
    values_NX[:3, 0] = 900.0
    low, high = clipped(values_NX, observer="mse")
    assert -5 < low < -2.5
    assert 2.5 < high < 8


def test_observed_ranges_lie_within_the_seen_ones_and_keep_their_means(trained, digits):
    x = observation.sample(digits.train, num_images=64, input_shape=(1, 8, 8))
    graph = writer.float_graph(trained)
    names = [node.output[0] for node in graph.graph.node if node.op_type in ("Relu", "Add")]
    seen = activation_calibration.collect(graph, tensors=names, x_NCHW=x)
    narrower = 0
    for observer in ("mse", "percentile"):
        ranges = activation_calibration.collect(
            graph, tensors=names, x_NCHW=x, observer=observer, percentile=99.0
        )
        for name in names:
            assert seen[name].low - 1e-6 <= ranges[name].low
            assert ranges[name].high <= seen[name].high + 1e-6
            narrower += ranges[name].high < seen[name].high
    assert narrower >= len(names)
