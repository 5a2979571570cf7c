"""Contributions in closed form and against the definition; neither way depends on an order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.early_stopping import tie_breaks
from search.front import pareto

coordinate = st.integers(0, 6).map(lambda n: n / 5)
REFERENCE = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_a_contribution_is_what_the_volume_loses_without_the_point(
    data: st.DataObject, axes: int
) -> None:
    points = data.draw(st.lists(st.tuples(*[coordinate] * axes), max_size=9))
    reference = REFERENCE[:axes]
    whole = pareto.hypervolume(points, reference)
    for index, found in enumerate(pareto.contributions(points, reference)):
        rest = points[:index] + points[index + 1 :]
        assert found == pytest.approx(whole - pareto.hypervolume(rest, reference), abs=1e-12)


def test_contributions_of_a_staircase_are_rectangles() -> None:
    points = [(0.1, 0.7), (0.4, 0.4), (0.8, 0.1), (1.5, 0.0)]
    expected = [0.3 * 0.3, 0.4 * 0.3, 0.2 * 0.3, 0.0]
    assert pareto.contributions(points, (1.0, 1.0)) == pytest.approx(expected)


def test_crowding_is_infinite_at_the_ends_and_shared_by_equal_points() -> None:
    points = [(0.0, 1.0), (0.25, 0.5), (0.25, 0.5), (1.0, 0.0)]
    assert pareto.crowding(points) == [float("inf"), 2.0, 2.0, float("inf")]


@given(st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=9), st.randoms())
def test_only_who_is_the_newcomer_matters(
    points: list[tuple[float, float]], random_: random.Random
) -> None:
    new, *others = points
    shuffled = [new, *random_.sample(others, len(others))]
    for places in range(1, len(points)):
        assert tie_breaks.by_net(points, places) == tie_breaks.by_net(shuffled, places)
        first = tie_breaks.by_hypervolume(points, points, places)
        assert tie_breaks.by_hypervolume(shuffled, shuffled, places) == first


def test_outside_the_box_the_least_crowded_goes_first() -> None:
    points = [(0.5, 5.0), (0.4, 6.0), (0.45, 5.5), (0.1, 9.0)]
    axes = [(2.0, 2.0)] * 4
    places = [
        tie_breaks.by_hypervolume([points[i], *points[:i], *points[i + 1 :]], axes, 4)
        for i in range(4)
    ]
    assert [place.place for place in places] == [1, 2, 3, 0]
    assert {place.value for place in places} == {0.0}
