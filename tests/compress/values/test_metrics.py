"""The table of metrics: a row that lacks a part is refused, and a measurement is read by it."""

import pytest
from pydantic import ValidationError

from compress.tasks.names import TASK_METRICS
from compress.values.measurement import METRICS, PERTURBED_QUALITY, QUALITY, Measurement
from compress.values.metrics import MetricInfo, table
from tests import factories

PARTS = {
    "name": "load_ms",
    "words": "time to load",
    "unit": "ms",
    "direction": "minimise",
    "is_known_before_training": False,
    "needs": "runtime",
    "in_proportion_to": None,
    "read": lambda measured: measured.load_ms,
}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_metric_that_lacks_a_part_names_it(part):
    parts = {name: value for name, value in PARTS.items() if name != part}
    with pytest.raises(TypeError, match=f"'{part}'"):
        MetricInfo(**parts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "load ms"}, "must be an identifier, got 'load ms'"),
        ({"words": ""}, "load_ms lacks words"),
        ({"unit": "seconds"}, "unit must be one of .* got 'seconds'"),
        ({"direction": "less"}, "direction must be one of .* got 'less'"),
        ({"needs": ""}, "needs must be one of .* got ''"),
        ({"read": None}, "load_ms lacks read"),
    ],
)
def test_a_metric_with_a_part_that_says_nothing_names_it(changes, said):
    with pytest.raises(ValueError, match=said):
        MetricInfo(**PARTS | changes)


def test_two_metrics_of_one_name_are_refused():
    row = MetricInfo(**PARTS)
    with pytest.raises(ValueError, match="two metrics have the name load_ms"):
        table([row, row])


def test_a_stored_measurement_without_newer_metrics_is_read():
    stored = factories.measurement().model_dump(mode="json", exclude={"quality"})
    read = Measurement.model_validate(stored)
    assert read.known("macro_f1") is None
    assert read.known("top5_accuracy") is None
    assert read.known("accuracy") == 0.9


def test_a_share_beyond_one_is_no_measurement():
    with pytest.raises(ValidationError, match="macro_f1 on validation must be within 0 and 1"):
        factories.measurement(quality=factories.quality(macro_f1=1.5))
    with pytest.raises(ValidationError, match="finite"):
        factories.measurement(quality=factories.quality(other=float("inf")))


def test_qualities_are_read_on_another_split_as_on_validation():
    figures = {"validation": {"macro_f1": 0.9}, "test": {"macro_f1": 0.7}}
    accuracy = {"validation": 0.9, "test": 0.8}
    measured = factories.measurement(quality=figures).model_copy(update={"accuracy": accuracy})
    on_test = measured.seen_on("test")
    assert (on_test.value("accuracy"), on_test.value("macro_f1")) == (0.8, 0.7)
    assert on_test.value("size_bytes") == measured.value("size_bytes")
    assert measured.value("macro_f1") == 0.9


def test_qualities_change_with_training_and_costs_do_not():
    qualities = {name for name, info in METRICS.items() if info.is_quality}
    of_tasks = {metric for metrics in TASK_METRICS.values() for metric in metrics}
    assert qualities == of_tasks | {QUALITY, PERTURBED_QUALITY}
    for name, info in METRICS.items():
        is_better_high = name in qualities and info.unit != "error"
        assert info.direction == ("maximise" if is_better_high else "minimise")
