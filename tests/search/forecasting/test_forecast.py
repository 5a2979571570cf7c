"""Seconds of a job, by the rule's trials and by what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import Forecast
from featherweight.specs.states import Phase
from search.early_stopping import climbing
from search.early_stopping.climbing import Standing
from search.forecasting import forecast
from search.forecasting.forecast import Progress
from search.forecasting.pace import Sample
from search.space.supernets import EpochCosts
from tests import factories

BASELINE = factories.measurement(
    seconds={"train": 100.0, "export": 1.5, "measure": 0.5}, train_images_per_second=1000.0
)
UPLOADED = factories.measurement(seconds={"export": 1.5, "measure": 0.5})
CHANGES = {
    "budget": {"trials": 14, "parallel_trials": 2},
    "early_stopping": {"rungs": [0, 1, 3], "eta": 2},
    "finish": {"trials": 4, "finalists": 2, "epochs": 10},
}
OWN, FIXED, EPOCH = 2.0, 2.0, 2.0
FINISH = 4 * (10 * EPOCH + FIXED)


def told(spec: JobSpec, *, baseline: Any = BASELINE, **known: Any) -> Forecast:
    return forecast.forecast(spec, train_images=2000, baseline=baseline, **known)


def reached(spec: JobSpec) -> tuple[float, ...]:
    return climbing.reaching(spec, trials=spec.search_trials, baseline=BASELINE)


def searching(spec: JobSpec, *, epoch: float = EPOCH) -> float:
    """Seconds of all search trials, rung by rung."""
    first, second, third = reached(spec)
    return FIXED * first + (epoch + FIXED) * second + (2 * epoch + FIXED) * third


def test_the_forecast_adds_up_rungs_finish_and_baseline() -> None:
    spec = factories.spec(**CHANGES)
    found = told(spec)
    assert found.seconds == pytest.approx(FIXED + OWN + searching(spec) + FINISH)
    assert found.remaining_seconds == found.seconds
    assert found.search_epochs == pytest.approx(reached(spec)[1] + 2 * reached(spec)[2])
    assert "one worker" in found.basis


def test_where_nothing_stops_early_every_epoch_is_counted() -> None:
    spec = factories.spec(**(CHANGES | {"early_stopping": {"rungs": [5]}}))
    assert told(spec).search_epochs == 9 * 5


def test_the_limit_of_seconds_caps_the_search_phase() -> None:
    changes = {**CHANGES, "budget": {"trials": 14, "seconds": 5}}
    assert told(factories.spec(**changes)).seconds == pytest.approx(OWN + FIXED + 5 + FINISH)


def test_the_limit_of_epochs_caps_the_training_of_the_search_phase() -> None:
    spec = factories.spec(**{**CHANGES, "budget": {"trials": 14, "epochs": 6}})
    search = 6 * EPOCH + FIXED * sum(reached(spec))
    found = told(spec)
    assert found.seconds == pytest.approx(OWN + FIXED + search + FINISH)
    assert found.search_epochs == 6


def test_probing_is_forecast_at_the_most_that_it_may_take() -> None:
    def seconds(**changes: object) -> float:
        spec = factories.spec(**(CHANGES | {"model": model, "finish": {"trials": 0}} | changes))
        found = told(spec).seconds
        assert found is not None
        return found

    model = factories.UNTRAINED.model_copy(update={"epochs": 5}).model_dump(mode="json")
    budget = {"trials": 14, "parallel_trials": 2}
    with_profile = seconds(profile={"share": 0.5}, budget=budget | {"trials": 15})
    assert with_profile == pytest.approx(seconds(budget=budget) + 0.5 * 5 * EPOCH)
    limited = budget | {"seconds": 1000.0}
    with_profile = seconds(profile={"share": 0.1}, budget=limited | {"trials": 15})
    assert with_profile == pytest.approx(seconds(budget=limited) + 100.0)


def test_without_a_measured_speed_there_is_no_number_but_a_reason_and_the_epochs() -> None:
    spec = factories.spec(**CHANGES)
    unmeasured = told(spec, baseline=None)
    assert unmeasured.seconds is None
    assert unmeasured.search_epochs is not None
    assert "not measured yet" in unmeasured.basis
    untrained = told(spec, baseline=UPLOADED)
    assert (untrained.seconds, untrained.remaining_seconds) == (None, None)
    assert untrained.search_epochs == told(spec).search_epochs
    assert "until the first search trial has trained" in untrained.basis


def test_an_uploaded_model_is_forecast_from_its_first_trial_on() -> None:
    spec = factories.spec(**CHANGES, model="mine")
    first = Sample(epochs=3, rungs=3, macs=20_000, seconds={"train": 12.0, "measure": 6.0})
    found = told(spec, baseline=UPLOADED, progress=Progress(samples=[first]))
    assert found.seconds == pytest.approx(
        FIXED + searching(spec, epoch=4.0) + 4 * (10 * 4.0 + FIXED)
    )
    assert "the newest trial that" in found.basis


def test_of_a_trial_as_large_as_the_network_smaller_ones_are_not_taken_to_be_as_slow() -> None:
    spec = factories.spec(**CHANGES, model="mine")
    first = Sample(epochs=3, rungs=1, macs=20_000, seconds={"train": 12.0})
    small = Sample(epochs=3, rungs=1, macs=2_000, seconds={"train": 6.6})
    costs = EpochCosts(typical=0.1)
    one, many, alike = (
        told(spec, baseline=UPLOADED, costs=given, progress=Progress(samples=samples)).seconds
        for given, samples in (
            (costs, [first]),
            (costs, [first] + [small] * 20),
            (EpochCosts(), [first]),
        )
    )
    assert one is not None
    assert many is not None
    assert alike is not None
    assert many < one < alike


def test_the_more_trials_are_measured_the_more_they_count_against_the_baseline() -> None:
    spec = factories.spec(**CHANGES)
    slow = Sample(epochs=10, rungs=1, macs=20_000, seconds={"train": 200.0, "measure": 2.0})
    found = [
        told(spec, progress=Progress(samples=[slow] * count)).seconds or 0.0
        for count in (0, 1, 8, 32)
    ]
    assert found == sorted(set(found))
    assert found[-1] > 6 * found[0]


def test_what_remains_is_what_has_not_happened_yet() -> None:
    spec = factories.spec(**CHANGES)
    standing = Standing(reached=(9, 5, 2), climbed=(5, 2, 0))
    over = Progress(phase=Phase.SEARCH, elapsed_seconds=50.0, standing=standing)
    found = told(spec, progress=over)
    assert found.remaining_seconds == pytest.approx(FINISH)
    assert found.seconds == pytest.approx(50 + FINISH)
    assert found.search_epochs == 5 + 2 * 2
    two = Progress(phase=Phase.FINISH, standing=standing, num_finished=2, at_once=2)
    assert told(spec, progress=two).remaining_seconds == pytest.approx(FINISH / 4)
    begun = Progress(
        phase=Phase.SEARCH,
        elapsed_seconds=10.0,
        standing=Standing(reached=(3, 2, 1), climbed=(2, 1, 0)),
    )
    left = told(spec, progress=begun).remaining_seconds
    assert left is not None
    assert FINISH < left < searching(spec) + FINISH


def test_trials_that_were_lost_train_no_more() -> None:
    spec = factories.spec(**CHANGES)
    standing = Standing(reached=(2, 1, 1), climbed=(1, 1, 0))
    fewer, all_of_them = (
        told(
            spec, progress=Progress(phase=Phase.SEARCH, standing=standing, num_lost=lost)
        ).search_epochs
        for lost in (5, 0)
    )
    assert fewer is not None
    assert all_of_them is not None
    assert fewer < all_of_them


def test_a_job_that_is_over_has_nothing_left() -> None:
    found = told(
        factories.spec(), baseline=None, progress=Progress(is_over=True, elapsed_seconds=7)
    )
    assert (found.seconds, found.elapsed_seconds, found.remaining_seconds) == (7, 7, 0)


def test_rules_that_may_end_the_search_before_are_named() -> None:
    spec = factories.spec(**CHANGES, stop={"no_gain": {"trials": 3}})
    assert "may end the search before" in told(spec).basis


def test_epochs_of_members_and_of_their_supernet_cost_what_their_layers_do() -> None:
    member = {"techniques": {"family_member": {}}}
    spec = factories.spec(**(CHANGES | member | {"supernet": {"epochs": 20}}))
    found = told(spec, costs=EpochCosts(member=3.0, supernet=5.0))
    supernet = 20 * 5 * OWN + 8 * FIXED
    finish = 4 * (10 * 3 * EPOCH + FIXED)
    search = searching(spec, epoch=3 * EPOCH)
    assert found.seconds == pytest.approx(FIXED + OWN + supernet + search + finish)
    trained = Progress(phase=Phase.SUPERNET, elapsed_seconds=FIXED + OWN + 100)
    assert told(
        spec, costs=EpochCosts(member=3.0, supernet=5.0), progress=trained
    ).remaining_seconds == pytest.approx(supernet - 100 + search + finish)


def test_a_supernet_that_was_trained_before_takes_no_time() -> None:
    member = {"techniques": {"family_member": {}}}
    ready = {"supernet": {"epochs": 0, "model": "shared"}}
    found, without = (
        told(factories.spec(**(CHANGES | member | changes))) for changes in (ready, {})
    )
    assert found == without
