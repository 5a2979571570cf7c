"""What a curve lets hope for: exact where peers are alike, humble where they are few."""

from __future__ import annotations

import random

import pytest

from search.early_stopping import extrapolation


def power_law(last: float, speed: float, rungs: int = 4) -> list[float]:
    """Errors that shrink by a constant share of the logarithm at every rung."""
    return [1 - (1 - last) * speed ** (rungs - 1 - rung) for rung in range(rungs)]


def family(count: int) -> list[list[float]]:
    random_ = random.Random(0)
    return [power_law(random_.uniform(0.8, 0.95), random_.uniform(1.1, 1.6)) for _ in range(count)]


@pytest.mark.parametrize("known", [2, 3])
def test_after_many_peers_a_power_law_is_foreseen(known: int) -> None:
    forecast = extrapolation.fit(family(60), known=known)
    assert forecast is not None
    for curve in family(80)[60:]:
        assert forecast.optimistic(curve[:known]) == pytest.approx(curve[-1], abs=0.03)


def test_the_hope_is_above_what_comes_more_often_than_not() -> None:
    forecast = extrapolation.fit(family(30), known=1)
    assert forecast is not None
    curves = family(130)[30:]
    above = sum(forecast.optimistic(curve[:1]) >= curve[-1] for curve in curves)
    assert 70 <= above <= 100


def test_with_fewer_than_three_finished_peers_nothing_is_foreseen() -> None:
    curves = [*family(2), [0.5], [0.4, 0.6]]
    assert extrapolation.expected(curves, num_rungs=4) == [None] * 4


def test_a_finished_peer_counts_by_what_it_reached_and_nobody_below_what_it_has() -> None:
    curves = [*family(5), [0.5], [0.999]]
    found = extrapolation.expected(curves, num_rungs=4)
    assert found[:5] == [curve[-1] for curve in curves[:5]]
    assert found[5] is not None
    assert found[5] > 0.5
    assert found[6] is not None
    assert found[6] >= 0.999


def test_equal_curves_and_perfect_accuracies_are_no_obstacle() -> None:
    curves = [[1.0, 1.0, 1.0]] * 4 + [[0.7]]
    found = extrapolation.expected(curves, num_rungs=3)
    assert found[:4] == [1.0] * 4
    assert found[4] is not None
    assert 0.7 <= found[4] <= 1.0


def test_the_order_of_the_peers_does_not_matter() -> None:
    finished = family(12)
    new = [0.4, 0.55]
    first = extrapolation.expected([new, *finished], num_rungs=4)[0]
    assert extrapolation.expected([new, *reversed(finished)], num_rungs=4)[0] == first
