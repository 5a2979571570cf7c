"""What is learned of an objective: a line over known costs, a surrogate of the rest, logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from search.samplers.known_cost import learned
from search.samplers.known_cost.improvement import Guess
from search.samplers.known_cost.learned import Logs

RANDOM = np.random.default_rng(0)
NOTHING = np.empty((40, 0))


def points(size: int = 40) -> np.ndarray:
    return np.linspace(0.0, 1.0, size)[:, None]


def guessed(found: learned.Learned, x: np.ndarray) -> np.ndarray:
    return found.guess([x], x).mean


def test_far_from_all_trials_a_known_cost_is_still_followed() -> None:
    x, beyond = 4.0 * points(), np.array([[8.0]])
    values = 3.0 - 2.0 * x[:, 0] + RANDOM.normal(0, 0.02, len(x))
    followed = guessed(learned.from_costs(values, [x], x), beyond)
    alone = learned.from_costs(values, [x], NOTHING).guess([beyond], NOTHING[:1]).mean
    assert followed == pytest.approx([-13.0], abs=2.0)
    assert alone[0] > -8.0


def test_the_line_is_that_of_the_better_half() -> None:
    x = np.concatenate([points(), points()])
    bad = np.arange(len(x)) >= 40
    # Every second candidate is worth nothing, the costlier the less.
    values = np.where(bad, 5.0 + 3.0 * x[:, 0], 1.0 - x[:, 0])
    found = learned.from_costs(values, [np.column_stack([x, bad])], x)
    assert found.trend.slopes[0] < 0


def test_small_errors_near_the_best_are_learned_as_logarithms() -> None:
    x = points()
    steep = np.exp(6.0 * x[:, 0])
    assert learned.from_costs(steep, [x], NOTHING).logs is not None
    even = np.sin(5.0 * x[:, 0])
    assert learned.from_costs(even, [x], NOTHING).logs is None


@pytest.mark.parametrize("values", [np.exp(6.0 * points()[:, 0]), np.sin(5.0 * points()[:, 0])])
def test_either_way_the_values_are_met_again(values: np.ndarray) -> None:
    x = points()
    spread = np.ptp(values)
    assert np.abs(guessed(learned.from_costs(values, [x], x), x) - values).max() < 0.05 * spread


def test_logarithms_lead_back_and_doubt_is_even() -> None:
    values = np.array([0.1, 0.2, 0.3, 5.0, 9.0])
    logs = Logs.below(values)
    assert logs is not None
    back = logs.back(Guess(mean=logs.of(values), deviation=np.full(5, 0.5)))
    np.testing.assert_allclose(back.mean, values)
    assert back.deviation is not None
    # At the median a step of a small logarithm is a step of so much.
    higher = Guess(mean=logs.of(np.array([0.3])) + 1e-6, deviation=np.zeros(1))
    slope = (logs.back(higher).mean[0] - 0.3) / 1e-6
    np.testing.assert_allclose(back.deviation, np.full(5, 0.5 * slope), rtol=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        np.ones(4),
        np.array([1.0, 1.0, 1.0, 2.0]),
        np.ones(1),
        np.array([1e9, np.nextafter(1e9, 2e9), np.nextafter(1e9, 2e9)]),
    ],
)
def test_where_the_median_is_the_best_there_are_no_logarithms(values: np.ndarray) -> None:
    x = np.arange(len(values), dtype=float)[:, None]
    assert Logs.below(values) is None
    found = learned.from_costs(values, [x], x)
    assert np.isfinite(guessed(found, x)).all()


def test_of_an_estimate_the_power_is_learned_too() -> None:
    guesses = np.log(np.array([[100.0], [1_000.0], [10_000.0], [100_000.0]]))
    values = 0.5 * guesses[:, 0] + 1.0
    several = learned.from_estimate(values, [guesses], guesses)
    assert several.trend.slopes[0] == pytest.approx(0.5, abs=0.1)
    one = learned.from_estimate(values[:1], [guesses[:1]], guesses[:1])
    assert one.trend.slopes[0] == pytest.approx(1.0)


def test_believing_leaves_means_and_takes_doubt() -> None:
    x = points()
    found = learned.from_costs(np.exp(6.0 * x[:, 0]), [x], x)
    ahead = np.array([[1.4]])
    before, after = (each.guess([ahead], ahead) for each in (found, found.believing([ahead])))
    assert after.mean == pytest.approx(before.mean, rel=0.02)
    assert before.deviation is not None
    assert after.deviation is not None
    assert after.deviation < 0.5 * before.deviation
