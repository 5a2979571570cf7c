from __future__ import annotations

import pytest

from search import forecast
from search.supernets import Costs
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


def test_the_limit_of_epochs_caps_the_training_of_the_search_phase() -> None:
    changes = {**CHANGES, "budget": {"trials": 14, "epochs": 6}}
    found = forecast.forecast(factories.spec(**changes), train_images=2000, baseline=BASELINE)
    search = 6 * 2.0 + 9 * 2.0 * (1 + 1 / 2 + 1 / 4)
    assert found.seconds == pytest.approx(2 + 2 + search + 4 * 22)


def test_probing_is_forecast_at_the_most_that_it_may_take() -> None:
    def seconds(**changes: object) -> float:
        spec = factories.spec(**(CHANGES | {"model": model, "finish": {"trials": 0}} | changes))
        found = forecast.forecast(spec, train_images=2000, baseline=BASELINE).seconds
        assert found is not None
        return found

    model = factories.UNTRAINED.model_copy(update={"epochs": 5}).model_dump(mode="json")
    budget = {"trials": 14, "parallel_trials": 2}
    with_profile = seconds(profile={"share": 0.5}, budget=budget | {"trials": 15})
    assert with_profile == pytest.approx(seconds(budget=budget) + 0.5 * 5 * 2.0)
    limited = budget | {"seconds": 1000.0}
    with_profile = seconds(profile={"share": 0.1}, budget=limited | {"trials": 15})
    assert with_profile == pytest.approx(seconds(budget=limited) + 100.0)


def test_without_a_measured_speed_there_is_no_number_but_a_reason() -> None:
    spec = factories.spec()
    unmeasured = forecast.forecast(spec, train_images=10, baseline=None)
    assert unmeasured.seconds is None
    assert "not measured yet" in unmeasured.basis
    untrained = forecast.forecast(spec, train_images=10, baseline=factories.measurement())
    assert untrained.seconds is None
    assert "not trained here" in untrained.basis


def test_epochs_of_members_and_of_their_supernet_cost_what_their_layers_do() -> None:
    member = {"techniques": {"family_member": {}}}
    found = forecast.forecast(
        factories.spec(**(CHANGES | member | {"supernet": {"epochs": 20}})),
        train_images=2000,
        baseline=BASELINE,
        costs=Costs(member=3.0, supernet=5.0),
    )
    own, fixed, member_epoch = 2.0, 2.0, 6.0
    supernet = 20 * 5 * own + 8 * fixed
    search = 8 * (fixed + (member_epoch + fixed) / 2 + (2 * member_epoch + fixed) / 4)
    finish = 4 * (10 * member_epoch + fixed)
    assert found.seconds == pytest.approx(fixed + own + supernet + search + finish)


def test_a_supernet_that_was_trained_before_takes_no_time() -> None:
    member = {"techniques": {"family_member": {}}}
    ready = {"supernet": {"epochs": 0, "model": "shared"}}
    found, without = (
        forecast.forecast(
            factories.spec(**(CHANGES | member | changes)), train_images=2000, baseline=BASELINE
        )
        for changes in (ready, {})
    )
    assert found == without
