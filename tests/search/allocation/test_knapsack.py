"""The solver against every combination there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.allocation import knapsack
from search.allocation.knapsack import Option

OPTIONS = st.builds(
    Option,
    value=st.just(0.0),
    cost=st.integers(1, 50),
    damage=st.floats(0, 10).map(lambda d: round(d, 3)),
)
PARTS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=5)


def cost(chosen: Sequence[Option]) -> float:
    return sum(option.cost for option in chosen)


def damage(chosen: Sequence[Option]) -> float:
    return sum(option.damage for option in chosen)


@settings(max_examples=150)
@given(PARTS, st.integers(1, 250))
def test_no_combination_within_the_limit_does_less_damage(
    parts: list[list[Option]], limit: int
) -> None:
    found = knapsack.solve(parts, limit)
    assert all(chosen in options for chosen, options in zip(found, parts, strict=True))
    within = [each for each in itertools.product(*parts) if cost(each) <= limit]
    if not within:
        assert cost(found) == min(cost(each) for each in itertools.product(*parts))
        return
    assert cost(found) <= limit
    assert damage(found) == pytest.approx(min(damage(each) for each in within), abs=1e-6)


def test_the_same_problem_has_the_same_answer() -> None:
    parts = [
        [Option(value=b, cost=(7 * n % 11 + 1) * b, damage=(n + 1) * 4.0**-b) for b in range(1, 9)]
        for n in range(30)
    ]
    first = knapsack.solve(parts, 600)
    assert knapsack.solve(parts, 600) == first
    assert cost(first) <= 600


def test_of_options_without_damage_the_cheapest_is_taken() -> None:
    parts = [[Option(value=8, cost=8, damage=0.0), Option(value=4, cost=4, damage=0.0)]]
    assert knapsack.solve(parts, 100)[0].value == 4


@settings(max_examples=150)
@given(PARTS, st.integers(1, 250))
def test_the_fast_way_keeps_the_limit_and_is_one_step_from_the_best(
    parts: list[list[Option]], limit: int
) -> None:
    found, best = knapsack.nearly(parts, limit), knapsack.solve(parts, limit)
    assert all(chosen in options for chosen, options in zip(found, parts, strict=True))
    if cost(best) > limit:
        assert cost(found) == cost(best)
        return
    assert cost(found) <= limit
    # What is missing to the relaxed problem, which is at least as good, is a part of one step.
    widest = max(max(o.damage for o in each) - min(o.damage for o in each) for each in parts)
    assert damage(best) - 1e-6 <= damage(found) <= damage(best) + widest + 1e-6


def test_with_many_parts_the_fast_way_is_next_to_the_best() -> None:
    parts = [
        [Option(value=b, cost=(7 * n % 11 + 1) * b, damage=(n + 1) * 4.0**-b) for b in range(1, 9)]
        for n in range(30)
    ]
    for limit in (300, 600, 900):
        assert damage(knapsack.nearly(parts, limit)) < 1.03 * damage(knapsack.solve(parts, limit))
