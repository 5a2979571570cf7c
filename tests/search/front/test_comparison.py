"""Every metric a user may choose, from the words of a job to the numbers that are compared."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from compress.values.measurement import METRICS
from featherweight.specs.constraints import parse
from featherweight.specs.objective import Objective
from search.front import comparison
from tests import factories

_ALWAYS = ("accuracy", "quality")
_OTHERS = dict.fromkeys(
    [name for name, info in METRICS.items() if info.is_quality and name not in _ALWAYS], 0.5
)
BASELINE = factories.measurement(
    size_bytes=8000, download_bytes=6000, peak_memory_bytes=16_000_000, load_ms=20.0,
    quality=factories.quality(
        **_OTHERS | {"top5_accuracy": 0.98, "macro_f1": 0.88}
    ),
)  # fmt: skip
MEASURED = factories.measurement(
    size_bytes=2000, download_bytes=1500, peak_memory_bytes=12_000_000, load_ms=10.0,
    quality=factories.quality(
        **_OTHERS | {"top5_accuracy": 0.97, "macro_f1": 0.8}
    ),
)  # fmt: skip


def test_every_metric_has_a_number_an_objective_and_a_unit() -> None:
    for metric in METRICS:
        direction = "maximise" if METRICS[metric].is_bounded else "minimise"
        wanted = Objective(metric=metric, direction=direction)
        (value,) = comparison.values(MEASURED, [wanted])
        assert value == MEASURED.known(metric)
        assert comparison.vector(MEASURED, [wanted]) == (
            (-value,) if direction == "maximise" else (value,)
        )
        assert parse(f"{metric} <= 1").bound(None) == 1


@pytest.mark.parametrize("metric", ["download_bytes", "peak_memory_bytes"])
def test_more_bytes_are_never_an_objective(metric: str) -> None:
    with pytest.raises(ValidationError, match="only be something to minimise"):
        Objective.model_validate({"metric": metric, "direction": "maximise"})


@pytest.mark.parametrize("metric", ["top5_accuracy", "macro_f1"])
def test_worse_answers_are_never_an_objective(metric: str) -> None:
    with pytest.raises(ValidationError, match="only be something to maximise"):
        Objective.model_validate({"metric": metric, "direction": "minimise"})


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("macro_f1 >= baseline - 3 points", 0.05 / 0.85),
        ("macro_f1 >= 80 %", 0.0),
        ("top5_accuracy >= 0.98", 0.01 / 0.98),
        ("download_bytes <= 1 kB", 0.5),
        ("download_bytes <= 1.5 kB", 0.0),
        ("download_bytes <= baseline / 8", 1.0),
        ("peak_memory_bytes <= 10 MB", 0.2),
        ("peak_memory_bytes <= 16 MiB", -1 + 12e6 / (16 * 1024**2)),
        ("peak_memory_bytes <= 0.5 x baseline", 0.5),
        ("peak_memory_bytes <= baseline * 0.5", 0.5),
    ],
)
def test_metrics_of_one_unit_are_bounded_in_the_same_words(text: str, violation: float) -> None:
    assert comparison.violation(MEASURED, [parse(text)], BASELINE) == pytest.approx(violation)


def test_a_number_that_was_not_measured_is_not_made_up() -> None:
    old = factories.measurement()
    qualities = [name for name, info in METRICS.items() if info.is_quality and name not in _ALWAYS]
    for metric in ("download_bytes", "peak_memory_bytes", *qualities):
        assert old.known(metric) is None
        with pytest.raises(ValueError, match=f"{metric} was not measured"):
            old.value(metric)
