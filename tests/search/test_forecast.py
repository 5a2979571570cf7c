from __future__ import annotations

import pytest

from search import forecast
from tests import factories

BASELINE = factories.measurement(
    seconds={"train": 100.0, "export": 1.5, "measure": 0.5}, train_images_per_second=1000.0
)
CHANGES = {
    "budget": {"trials": 14, "parallel_trials": 2},
    "early_stopping": {"rungs": [0, 1, 3], "eta": 2},
    "finish": {"trials": 4, "finalists": 2, "epochs": 10},
}


def test_the_forecast_adds_up_rungs_finish_and_baseline() -> None:
    spec = factories.spec(**CHANGES)
    found = forecast.forecast(spec, train_images=2000, baseline=BASELINE)
    epoch, fixed = 2.0, 2.0
    search = 9 * (fixed + (epoch + fixed) / 2 + (2 * epoch + fixed) / 4)
    finish = 4 * (10 * epoch + fixed)
    assert found.seconds == pytest.approx(fixed + 1 * epoch + search + finish)
    assert "one worker" in found.basis


def test_the_limit_of_seconds_caps_the_search_phase() -> None:
    changes = {**CHANGES, "budget": {"trials": 14, "seconds": 5}}
    found = forecast.forecast(factories.spec(**changes), train_images=2000, baseline=BASELINE)
    assert found.seconds == pytest.approx(2 + 2 + 5 + 4 * 22)


def test_without_a_measured_speed_there_is_no_number_but_a_reason() -> None:
    spec = factories.spec()
    unmeasured = forecast.forecast(spec, train_images=10, baseline=None)
    assert unmeasured.seconds is None
    assert "not measured yet" in unmeasured.basis
    untrained = forecast.forecast(spec, train_images=10, baseline=factories.measurement())
    assert untrained.seconds is None
    assert "not trained here" in untrained.basis
