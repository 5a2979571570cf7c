"""Expected improvement by boxes against plain averages, and a surrogate against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from search.front import pareto
from search.samplers.known_cost import improvement, surrogate
from search.samplers.known_cost.improvement import Guess


@pytest.mark.parametrize("known", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_it_is_the_mean_of_what_points_would_add(dimensions: int, known: tuple[int, ...]) -> None:
    random = np.random.default_rng(dimensions)
    front = random.random((6, dimensions))
    reference = np.full(dimensions, 1.1)
    mean, deviation = random.random((3, dimensions)), 0.05 + 0.2 * random.random((3, dimensions))
    deviation[:, [k for k in known if k < dimensions]] = 0.0
    guesses = [
        Guess(mean=mean[:, d], deviation=None if d in known else deviation[:, d])
        for d in range(dimensions)
    ]
    found = improvement.expected(guesses, front, reference)
    before = pareto.hypervolume(front.tolist(), reference.tolist())
    for point in range(3):
        drawn = mean[point] + deviation[point] * random.standard_normal((4000, dimensions))
        gains = [
            pareto.hypervolume([*front.tolist(), one], reference.tolist()) - before
            for one in drawn.tolist()
        ]
        error = np.std(gains) / np.sqrt(len(gains))
        assert found[point] == pytest.approx(np.mean(gains), abs=4 * error + 1e-12)


def test_without_a_front_the_whole_box_is_to_be_gained() -> None:
    guesses = [Guess(mean=np.array([0.5])), Guess(mean=np.array([0.25]))]
    gain = improvement.expected(guesses, np.empty((0, 2)), np.array([1.0, 1.0]))
    assert gain[0] == pytest.approx(0.5 * 0.75)


def test_a_surrogate_predicts_what_it_was_told_and_doubts_what_it_was_not() -> None:
    random = np.random.default_rng(0)
    x = random.random((40, 1))
    fitted = surrogate.fit([2 * x], np.sin(6 * x[:, 0]))
    mean, deviation = fitted.predict([2 * np.array([[0.5], [4.0]])])
    assert mean[0] == pytest.approx(np.sin(3.0), abs=0.05)
    assert deviation[1] > 10 * deviation[0]


def test_believing_moves_no_mean_and_removes_doubt() -> None:
    random = np.random.default_rng(1)
    x = random.random((12, 2))
    fitted = surrogate.fit([2 * x], x.sum(axis=1))
    new, other = [np.full((1, 2), 3.0)], [2 * random.random((5, 2))]
    after = fitted.believing(new)
    assert after.predict(new)[1][0] < 0.5 * fitted.predict(new)[1][0]
    assert after.predict(other)[0] == pytest.approx(fitted.predict(other)[0], abs=1e-3)


def test_the_gradient_of_the_likelihood_is_its_slope() -> None:
    random = np.random.default_rng(2)
    x = random.random((15, 2))
    blocks, targets = [x[:, :1], x[:, 1:]], random.standard_normal(15)
    squares = np.stack([((b[:, None] - b[None]) ** 2).sum(2).reshape(-1) for b in blocks])
    logs, centre, spread = np.array([0.3, -0.2, 0.1, -2.0]), np.zeros(4), np.ones(4)
    _, gradient = surrogate.loss(logs, squares, targets, centre, spread)
    for index in range(4):
        step = np.zeros(4)
        step[index] = 1e-5
        above, _ = surrogate.loss(logs + step, squares, targets, centre, spread)
        below, _ = surrogate.loss(logs - step, squares, targets, centre, spread)
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-4)
