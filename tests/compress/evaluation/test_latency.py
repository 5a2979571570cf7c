"""Latency is taken in turns with the baseline's file, and compared relative to it."""

from __future__ import annotations

import os

import onnxruntime
import pytest
from pydantic import ValidationError

from compress.evaluation import latency, measure
from compress.evaluation.latency import Beside
from compress.export import writer
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import Stopped
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity


def timed(**changes):
    fields = {"median_ms": 2.0, "p95_ms": 3.0, "threads": 1, "batch": 1}
    return Latency.model_validate(fields | changes)


def measurement(latency):
    return Measurement(
        accuracy={"validation": 0.9},
        size_bytes=10,
        parameters=5,
        macs=7,
        latency=latency,
        parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
    )


@pytest.fixture(scope="module")
def files(digits, tmp_path_factory):
    """Paths of a narrow network's file and of one with some thirty times the work."""
    found = {}
    for name, widths in (("narrow", (4, 8)), ("wide", (48, 96))):
        network = Network(
            module=build(
                Residual(widths=widths, depths=(2, 2)), in_channels=1, num_classes=10, seed=0
            ).eval(),
            normalisation=Normalisation(scale=1 / 16, mean=(0.3,), std=(0.4,)),
            input_shape=(1, 8, 8),
            num_classes=10,
        )
        folder = tmp_path_factory.mktemp(name)
        found[name] = writer.write(
            CompressedModel(network=network), folder, data=digits, task=IMAGE_CLASSIFICATION
        )
    return found


def test_a_file_is_timed_beside_the_baselines_and_compared_by_the_ratio(files, digits):
    beside = Beside(path=files["wide"].path, reference_ms=8.0)
    found = latency.measure(files["narrow"].path, digits.validation, threads=1, beside=beside)
    assert found.baseline_ms is not None
    assert found.ratio == found.median_ms / found.baseline_ms
    assert 0 < found.ratio < 1
    assert found.compared_ms == pytest.approx(8.0 * found.ratio)
    other = Beside(path=files["narrow"].path, reference_ms=8.0)
    assert latency.measure(files["wide"].path, digits.validation, threads=1, beside=other).ratio > 1


def test_a_file_beside_itself_takes_as_long_as_itself(files, digits):
    path = files["wide"].path
    beside = Beside(path=path, reference_ms=5.0)
    found = latency.measure(path, digits.validation, threads=1, beside=beside)
    assert found.ratio == pytest.approx(1.0, abs=0.25)


def test_a_file_alone_says_only_its_own_times_and_the_device(files, digits):
    found = latency.measure(files["narrow"].path, digits.validation, threads=1, beside=None)
    assert (found.baseline_ms, found.reference_ms, found.ratio) == (None, None, None)
    assert found.compared_ms == found.median_ms
    assert found.device == latency.device_name() != ""


def test_the_whole_measurement_has_the_comparison(files, digits):
    beside = Beside(path=files["wide"].path, reference_ms=8.0)
    found = measure.run(
        files["narrow"], digits, splits=("validation",), beside=beside, task=IMAGE_CLASSIFICATION
    )
    assert found.latency.reference_ms == 8.0
    assert found.value("latency_ms") == found.latency.compared_ms != found.latency.median_ms


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux keeps threads")
def test_threads_may_go_everywhere_again_after_the_timing(files, digits):
    before = os.sched_getaffinity(0)
    latency.measure(files["narrow"].path, digits.validation, threads=1, beside=None)
    assert os.sched_getaffinity(0) == before


def test_a_slow_moment_changes_milliseconds_and_not_what_is_compared():
    quiet = timed(baseline_ms=4.0, reference_ms=4.0)
    busy = timed(median_ms=6.0, p95_ms=9.0, baseline_ms=12.0, reference_ms=4.0)
    assert measurement(quiet).value("latency_ms") == measurement(busy).value("latency_ms") == 2.0


def test_an_older_measurement_has_no_baseline_beside_it_and_stays_valid():
    found = Latency.model_validate_json(
        '{"median_ms": 2.0, "p95_ms": 3.0, "threads": 1, "batch": 1}'
    )
    assert (found.compared_ms, found.device) == (2.0, None)
    assert (found.clock, found.wall_ms, found.busy, found.within) == (None, None, False, 1.0)
    assert (found.runtime, found.runtime_version, found.estimator) == (None, None, None)
    assert (found.taken_by, timed(clock="cpu").taken_by) == ("median", "least")
    assert found.at_worst() is found.at_best() is found


def test_a_doubtful_latency_counts_within_its_bounds_and_its_ratio_moves_with_them():
    found = timed(baseline_ms=4.0, reference_ms=8.0, busy=True, within=1.25)
    assert found.compared_ms == 4.0
    assert found.at_worst().compared_ms == pytest.approx(5.0)
    assert found.at_best().compared_ms == pytest.approx(3.2)
    assert found.at_worst().at_worst() == found.at_worst()
    assert measurement(found).at_worst().value("latency_ms") == pytest.approx(5.0)
    assert found.remark == "measured on a busy machine; right within a factor of 1.3"


def test_a_baseline_that_was_timed_alone_is_its_own_measure_whatever_the_doubt():
    found = timed(busy=True, within=1.5)
    assert found.at_worst() is found.at_best() is found


def test_a_measurement_says_by_which_clock_and_what_the_wall_said(files, digits):
    found = latency.measure(files["narrow"].path, digits.validation, threads=1, beside=None)
    assert (found.runtime, found.runtime_version) == ("onnxruntime", onnxruntime.__version__)
    assert (found.estimator, found.threads) == ("quantile_10", 1)
    assert found.clock in ("cpu", "wall")
    assert found.wall_ms is not None
    assert found.wall_ms > 0.5 * found.median_ms
    assert found.within >= 1.0 if found.busy else found.within == 1.0


def test_a_stop_is_heard_between_two_turns(files, digits):
    with pytest.raises(Stopped):
        latency.measure(
            files["narrow"].path,
            digits.validation,
            threads=1,
            beside=None,
            should_stop=lambda: True,
        )


@pytest.mark.parametrize(
    "changes",
    [{"within": 0.5}, {"within": float("inf")}, {"clock": "sun"},
     {"baseline_ms": 1.0}, {"reference_ms": 1.0}, {"baseline_ms": 0.0, "reference_ms": 1.0},
     {"baseline_ms": float("inf"), "reference_ms": 1.0}],
)  # fmt: skip
def test_half_a_comparison_and_impossible_bounds_are_none(changes):
    with pytest.raises(ValidationError):
        timed(**changes)
