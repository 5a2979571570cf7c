from __future__ import annotations

import numpy as np
import pytest

from compress import export, observation
from compress.techniques.quantization import calibration, histogram


def clipped(values, *, observer, percentile=99.9):
    values = np.asarray(values, np.float32)
    low, high = float(values.min()), float(values.max())
    counts = histogram.count(values, low, high)
    return histogram.clipped(counts, low, high, observer=observer, percentile=percentile)


def test_every_value_is_counted_once():
    counts = histogram.count(np.float32([0.0, 0.1, 1.0, 1.0]), 0.0, 1.0)
    assert counts.shape == (histogram.BINS,)
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 4)


def test_a_constant_has_no_range_to_clip():
    assert clipped([3.0, 3.0], observer="mse") == (3.0, 3.0)
    assert clipped([3.0, 3.0], observer="percentile") == (3.0, 3.0)


def test_minmax_keeps_the_extremes():
    assert clipped([-1.0, 0.0, 7.0], observer="minmax") == (-1.0, 7.0)


def test_a_percentile_cuts_as_much_below_as_above():
    low, high = clipped(np.linspace(-1, 1, 100_001), observer="percentile", percentile=90.0)
    assert low == pytest.approx(-0.9, abs=2e-3)
    assert high == pytest.approx(0.9, abs=2e-3)


def test_all_percent_are_the_extremes():
    low, high = clipped([-2.0, 0.5, 6.0], observer="percentile", percentile=100.0)
    assert (low, high) == pytest.approx((-2.0, 6.0))


def test_the_squared_error_gives_up_a_lone_outlier():
    values = np.concatenate([np.random.default_rng(0).exponential(size=200_000), [60.0]])
    low, high = clipped(values, observer="mse")
    assert low >= 0
    assert 10 < high < 50


def test_evenly_spread_values_are_not_clipped():
    assert clipped(np.linspace(0, 1, 50_000), observer="mse")[1] == pytest.approx(1.0, abs=0.02)


def test_observed_ranges_lie_within_the_seen_ones_and_keep_their_means(trained, digits):
    x = observation.sample(digits.train, num_images=64, input_shape=(1, 8, 8))
    graph = export.float_graph(trained)
    names = [node.output[0] for node in graph.graph.node if node.op_type in ("Relu", "Add")]
    seen = calibration.collect(graph, tensors=names, x_NCHW=x)
    narrower = 0
    for observer in ("mse", "percentile"):
        ranges = calibration.collect(
            graph, tensors=names, x_NCHW=x, observer=observer, percentile=99.0
        )
        for name in names:
            assert seen[name].low - 1e-6 <= ranges[name].low
            assert ranges[name].high <= seen[name].high + 1e-6
            narrower += ranges[name].high < seen[name].high
    assert narrower >= len(names)
