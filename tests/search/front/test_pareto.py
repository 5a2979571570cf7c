from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.front import pareto

coordinate = st.integers(0, 6).map(float)


def clouds(dimensions: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    return st.lists(st.tuples(*[coordinate] * dimensions), min_size=1, max_size=25)


any_cloud = st.integers(1, 3).flatmap(clouds)


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def peeled(points: list[tuple[float, ...]]) -> list[int]:
    """Ranks by taking front after front away: the definition."""
    ranks, left, rank = [0] * len(points), set(range(len(points))), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for index in front:
            ranks[index] = rank
        left, rank = left - front, rank + 1
    return ranks


def included(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """Volume by inclusion and exclusion over all subsets."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in itertools.combinations(points, size):
            worst = [max(column) for column in zip(*subset, strict=True)]
            sides = [max(0.0, r - w) for r, w in zip(reference, worst, strict=True)]
            total += (-1) ** (size + 1) * math.prod(sides)
    return total


@given(any_cloud)
def test_ranks_are_those_of_the_definition(points: list[tuple[float, ...]]) -> None:
    assert pareto.ranks(points, [-1.0] * len(points)) == peeled(points)


@given(any_cloud)
def test_the_front_is_rank_zero_without_repeats(points: list[tuple[float, ...]]) -> None:
    expected = [
        index
        for index, rank in enumerate(peeled(points))
        if rank == 0 and points[index] not in points[:index]
    ]
    assert pareto.front_indices(points) == expected


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[coordinate] * n), max_size=7)))
def test_hypervolume_is_that_of_inclusion_and_exclusion(points: list[tuple[float, ...]]) -> None:
    reference = (5.0,) * (len(points[0]) if points else 2)
    assert pareto.hypervolume(points, reference) == pytest.approx(included(points, reference))


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_a_staircase_of_n_points_has_the_volume_of_its_formula(n: int) -> None:
    points = [(i / n, 1 - (i + 1) / n) for i in range(n)]
    assert pareto.hypervolume(points, (1, 1)) == pytest.approx((n + 1) / (2 * n))


def test_a_corner_point_has_the_volume_of_its_box() -> None:
    assert pareto.hypervolume([(0.25,)], (1,)) == 0.75
    assert pareto.hypervolume([(0.5, 0.25, 0.75)], (1, 1, 1)) == 0.5 * 0.75 * 0.25
    assert pareto.hypervolume([(1.0, 0.0)], (1, 1)) == 0.0
    assert pareto.hypervolume([], (1, 1)) == 0.0


@given(any_cloud, st.randoms())
def test_more_points_never_make_the_volume_smaller(
    points: list[tuple[float, ...]], random_: random.Random
) -> None:
    reference = (5.0,) * len(points[0])
    some = random_.sample(points, random_.randint(0, len(points)))
    assert pareto.hypervolume(some, reference) <= pareto.hypervolume(points, reference) + 1e-9


@given(clouds(2), st.randoms())
def test_constraints_come_before_dominance(
    points: list[tuple[float, ...]], random_: random.Random
) -> None:
    violations = [random_.choice([-1.0, 0.0, 0.1, 0.5]) for _ in points]
    ranks = pareto.ranks(points, violations)
    for (rank, violation), (other, worse) in itertools.combinations(
        zip(ranks, violations, strict=True), 2
    ):
        if max(violation, 0.0) < max(worse, 0.0):
            assert rank < other
        if violation == worse > 0:
            assert rank == other


def test_ten_thousand_points_of_three_objectives_are_ranked_exactly_where_it_is_known() -> None:
    generator = random.Random(0)
    plane = [
        (a, b, 1 - a - b)
        for a, b in ((generator.random(), generator.random()) for _ in range(5000))
    ]
    above = [(a + 1, b + 1, c + 1) for a, b, c in plane]
    ranks = pareto.ranks([*plane, *above], [-1.0] * 10_000)
    assert set(ranks[:5000]) == {0}
    assert min(ranks[5000:]) >= 1


def test_the_knee_is_where_the_front_bends() -> None:
    assert pareto.knee([(0, 10), (1, 3), (2, 2.5), (10, 0)]) == 1
    assert pareto.knee([(4.0,), (2.0,), (3.0,)]) == 1
    with pytest.raises(ValueError, match="no points"):
        pareto.knee([])


def test_more_than_three_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 3"):
        pareto.front_indices([(1, 2, 3, 4)])


@given(any_cloud)
def test_a_possible_front_of_points_that_are_known_is_the_front(
    points: list[tuple[float, ...]],
) -> None:
    assert pareto.possible_front(points, points) == pareto.front_indices(points)


bounded = st.integers(1, 3).flatmap(
    lambda dimensions: st.lists(
        st.tuples(st.tuples(*[coordinate] * dimensions), st.sampled_from([0.0, 0.0, 1.0, 3.0])),
        min_size=1,
        max_size=15,
    )
)


@given(bounded)
def test_a_point_leaves_a_possible_front_only_where_another_surely_dominates_it(
    cloud: list[tuple[tuple[float, ...], float]],
) -> None:
    """By the definition; ``doubt`` moves the first coordinate both ways."""
    worst = [(point[0] + doubt, *point[1:]) for point, doubt in cloud]
    best = [(point[0] - doubt, *point[1:]) for point, doubt in cloud]
    front = set(pareto.possible_front(worst, best))
    for i, point in enumerate(best):
        others = [worst[j] for j in range(len(cloud)) if j != i]
        equals = [j for j in range(i) if worst[j] == best[j] == point == worst[i]]
        sure = any(dominates(other, point) for other in others) or bool(equals)
        is_equal = any(other == point for other in others)
        assert i not in front if sure else i in front or is_equal
