"""What a stopped trial teaches: its neighbourhood is not bad because it was trained briefly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from search.samplers import Knowledge, KnownCostSampler, history, rungs
from search.samplers.history import History
from search.samplers.known_cost import fidelity
from search.samplers.parameters import Parameter

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
LIMIT = "loss <= 0.4"


def curve(*values: float, epochs: Sequence[int] = (1, 3, 9)) -> list[dict[str, Any]]:
    """Rungs of one objective, whose violation is what it exceeds 0.4 by."""
    return [
        rungs.entry(epochs=each, values=[value], constraints={LIMIT: value - 0.4})
        for each, value in zip(epochs, values, strict=False)
    ]


def study_of(
    curves: dict[float, list[dict[str, Any]]], *, is_told: bool, directions: str = "minimize"
) -> optuna.Study:
    study = optuna.create_study(direction=directions)
    for x, found in curves.items():
        last = found[-1]
        study.add_trial(
            create_trial(
                params={"x": x},
                distributions=SPACE,
                value=last["values"][0],
                user_attrs={rungs.RUNGS: found} if is_told else {},
                constraints=last["constraints"],
            )
        )
    return study


def read(study: optuna.Study) -> History:
    knobs = [Parameter(name=name, distribution=each) for name, each in SPACE.items()]
    return history.read(study, study.trials[-1], knobs)


def everything(past: History) -> fidelity.RungEvidence:
    return fidelity.evidence(past, np.arange(len(past.told)), most=100)


def loss(x: float) -> float:
    """Best at 0.8, after all the training."""
    return abs(x - 0.8)


STOPPED_WHERE_IT_IS_BEST = {
    **{x: curve(loss(x) + 2.0, loss(x) + 0.5, loss(x)) for x in (0.05, 0.2, 0.35, 0.5)},
    **{x: curve(loss(x) + 2.0) for x in (0.65, 0.78, 0.9)},
}


def proposed(study: optuna.Study) -> float:
    study.sampler = KnownCostSampler(seed=0, known=Knowledge(space=SPACE), num_startup_trials=4)
    return study.ask(SPACE).params["x"]


def test_where_trials_were_stopped_is_searched_on_if_their_first_rung_was_good() -> None:
    assert proposed(study_of(STOPPED_WHERE_IT_IS_BEST, is_told=True)) > 0.6
    assert proposed(study_of(STOPPED_WHERE_IT_IS_BEST, is_told=False)) < 0.6


def test_a_stopped_trial_is_lifted_by_what_the_others_gained() -> None:
    """All gain alike, and one that is far better than they shows how far the way is."""
    curves = {x: curve(3.1 + x, 2.4 + x, 2.3 + x) for x in (0.1, 0.2, 0.3)}
    past = read(study_of({**curves, 0.4: curve(3.4), 0.5: curve(0.0, 0.0, 0.0)}, is_told=True))
    seen = everything(past)
    lifted = fidelity.lifted(seen, seen.values[:, 0])
    expected = [2.4, 2.5, 2.6, 2.6, 0.0]
    assert lifted == pytest.approx([expected[row] for row in seen.trial], abs=0.02)
    violations = fidelity.lifted(seen, seen.violations[LIMIT])
    assert violations == pytest.approx([expected[row] - 0.4 for row in seen.trial], abs=0.02)


def test_who_is_nearly_there_is_lifted_by_the_same_share_of_the_way() -> None:
    """Weak trials go from 4 d to d of the best; one that lacks 0.02 cannot gain 1.5 like them."""
    curves = {d: curve(1.0 + 4 * d, 1.0 + 2 * d, 1.0 + d) for d in (0.0, 0.4, 0.5, 0.6)}
    past = read(study_of({**curves, 0.9: curve(1.02), 0.95: curve(1.0)}, is_told=True))
    seen = everything(past)
    lifted = fidelity.lifted(seen, seen.values[:, 0])[:6]
    assert lifted == pytest.approx([1.0, 1.4, 1.5, 1.6, 1.005, 1.0])


def test_nobody_is_lifted_beyond_the_best_that_was_measured() -> None:
    past = read(
        study_of({0.1: curve(0.9, 0.5, 0.1), 0.2: curve(0.2), 0.3: curve(0.8)}, is_told=True)
    )
    seen = everything(past)
    assert fidelity.lifted(seen, seen.values[:, 0]).min() == pytest.approx(0.1)


def test_one_network_that_was_worth_nothing_at_first_does_not_lift_all_others() -> None:
    curves = {x: curve(0.5, 0.4, epochs=(1, 9)) for x in (0.1, 0.2, 0.3)}
    past = read(study_of({**curves, 0.4: curve(90.0, 0.3), 0.5: curve(0.6)}, is_told=True))
    seen = fidelity.evidence(past, np.array([0, 1, 2, 4]), most=100)
    assert fidelity.lifted(seen, seen.values[:, 0])[3] == pytest.approx(0.5)


def test_trials_of_unlike_schedules_are_told_apart_by_their_epochs() -> None:
    past = read(
        study_of({0.1: curve(0.5, epochs=(1,)), 0.2: curve(0.5, epochs=(9,))}, is_told=True)
    )
    assert fidelity.has_rungs(past)
    assert everything(past).trained == pytest.approx([np.log(2) / np.log(10), 1.0])
    assert fidelity.lifted(everything(past), past.values[:, 0]) == pytest.approx([0.5, 0.5])


def test_a_study_that_says_nothing_of_rungs_has_none() -> None:
    past = read(study_of(STOPPED_WHERE_IT_IS_BEST, is_told=False))
    assert not fidelity.has_rungs(past)
    assert everything(past).trained == pytest.approx(np.ones(7))
    assert len(past.lower.trial) == 0


def test_maximised_values_of_lower_rungs_are_turned_as_all_others() -> None:
    past = read(study_of({0.1: curve(0.2, 0.6, 0.9)}, is_told=True, directions="maximize"))
    assert past.values[:, 0] == pytest.approx([-0.9])
    assert past.lower.values[:, 0] == pytest.approx([-0.2, -0.6])
    assert past.lower.epochs == pytest.approx([1, 3])


def test_where_there_is_not_room_for_all_the_highest_rungs_are_kept() -> None:
    past = read(study_of(STOPPED_WHERE_IT_IS_BEST, is_told=True))
    seen = fidelity.evidence(past, np.arange(7), most=9)
    assert list(seen.trial) == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert seen.trained[-2:] == pytest.approx(np.log(4) / np.log(10))


def test_an_infinite_measurement_lifts_nobody() -> None:
    curves = {0.1: curve(np.inf, np.inf, np.inf), 0.2: curve(0.5, 0.4, 0.3), 0.3: curve(0.5)}
    past = read(study_of(curves, is_told=True))
    seen = everything(past)
    assert fidelity.lifted(seen, seen.values[:, 0])[2] == pytest.approx(0.3)


@pytest.mark.parametrize("found", [3, [1, 2], [{"epochs": 1}]])
def test_an_attribute_of_that_name_that_means_something_else_is_said_so(found: object) -> None:
    study = study_of({0.1: curve(0.5)}, is_told=False)
    trial = create_trial(
        params={"x": 0.2}, distributions=SPACE, value=0.1, user_attrs={rungs.RUNGS: found}
    )
    study.add_trial(trial)
    with pytest.raises(ValueError, match="'rungs' of trial 1 must be a list of rungs"):
        read(study)
