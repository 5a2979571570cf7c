"""Curves through probes never fall, and say something sensible where nothing was probed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.sensitivity.document import BitsPoint, RatioPoint
from search.allocation import curves

NUMBERS = st.lists(st.floats(-100, 100), min_size=1, max_size=6)


def bits(**damages: float) -> list[BitsPoint]:
    return [BitsPoint(bits=int(b[1:]), damage=d, accuracy=0.5) for b, d in damages.items()]


def ratios(*points: tuple[float, float]) -> list[RatioPoint]:
    return [RatioPoint(ratio=ratio, damage=damage, accuracy=0.5) for ratio, damage in points]


def test_neighbours_in_the_wrong_order_are_pooled() -> None:
    assert curves.isotonic([1.0, 3.0, 2.0, 2.0, 5.0]) == pytest.approx([1, 7 / 3, 7 / 3, 7 / 3, 5])
    assert curves.isotonic([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]


@given(NUMBERS)
def test_the_fit_never_falls_and_keeps_the_mean(values: list[float]) -> None:
    found = curves.isotonic(values)
    assert all(b >= a for a, b in itertools.pairwise(found))
    assert sum(found) == pytest.approx(sum(values), abs=1e-6)


@given(NUMBERS)
def test_the_fit_is_that_of_scikit_learn(values: list[float]) -> None:
    from sklearn.isotonic import IsotonicRegression

    expected = IsotonicRegression().fit_transform(list(range(len(values))), values)
    assert curves.isotonic(values) == pytest.approx(list(expected), abs=1e-6)


def test_every_bit_beyond_the_probes_counts_a_factor_of_four() -> None:
    points = bits(b4=0.1, b6=0.001)
    assert curves.of_bits(points, 4) == pytest.approx(0.1)
    assert curves.of_bits(points, 5) == pytest.approx(0.01)
    assert curves.of_bits(points, 2) == pytest.approx(1.6)
    assert curves.of_bits(points, 8) == pytest.approx(0.001 / 16)


def test_more_bits_never_do_more_damage() -> None:
    points = bits(b2=0.2, b3=0.5, b4=0.01, b8=0.02)
    found = [curves.of_bits(points, width) for width in range(1, 9)]
    assert found == sorted(found, reverse=True)


def test_ratios_lie_on_lines_from_nothing_at_nothing() -> None:
    points = ratios((0.25, 0.1), (0.5, 0.4))
    assert curves.of_ratio(points, 0.0) == 0.0
    assert curves.of_ratio(points, 0.1) == pytest.approx(0.04)
    assert curves.of_ratio(points, 0.375) == pytest.approx(0.25)
    assert curves.of_ratio(points, 0.75) == pytest.approx(0.7)


def taking(**taken: float | None) -> list[BitsPoint]:
    return [BitsPoint(bits=int(b[1:]), damage=1, accuracy=0.5, coded=c) for b, c in taken.items()]


def test_bits_in_a_file_are_those_of_the_probes_and_one_more_per_bit_beyond() -> None:
    points = taking(b4=3.4, b2=1.5)
    found = [curves.coded(points, bits) for bits in range(1, 9)]
    assert found == pytest.approx([0.5, 1.5, 2.45, 3.4, 4.4, 5.4, 6.4, 7.4])


def test_bits_in_a_file_are_never_more_than_the_width_and_never_fall() -> None:
    assert curves.coded(taking(b2=1.9, b4=1.7), 3) == pytest.approx(1.8)
    assert curves.coded(taking(b4=0.2), 1) == 0.0
    assert curves.coded(taking(b1=1.0), 8) == 8.0


@pytest.mark.parametrize("points", [[], taking(b2=None, b4=None)])
def test_without_a_probe_that_says_a_weight_takes_its_width(points: list[BitsPoint]) -> None:
    assert [curves.coded(points, bits) for bits in (2, 8)] == [2.0, 8.0]
