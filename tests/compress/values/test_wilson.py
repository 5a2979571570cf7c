"""Wilson's interval against closed forms and published values."""

from __future__ import annotations

import math

import pytest

from compress.values import wilson


@pytest.mark.parametrize(
    ("share", "images", "low", "high"),
    [
        (0.5, 10, 0.2366, 0.7634),
        (0.0, 10, 0.0, 0.2775),
        (1.0, 10, 0.7225, 1.0),
        (354 / 360, 360, 0.9641, 0.9923),
    ],
)
def test_known_intervals_at_95_percent(share: float, images: int, low: float, high: float) -> None:
    found = wilson.interval(share, images)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("deviations", [1.0, 1.96, 3.0])
def test_its_ends_are_where_the_score_test_just_rejects(deviations: float) -> None:
    """The ends solve ``(p - x)^2 = z^2 x (1 - x) / n``, by which Wilson defined them."""
    found = wilson.interval(0.93, 500, deviations=deviations)
    for end in (found.low, found.high):
        assert abs(0.93 - end) == pytest.approx(deviations * math.sqrt(end * (1 - end) / 500))


def test_no_images_and_no_share_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 image"):
        wilson.interval(0.5, 0)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        wilson.interval(1.5, 10)


def test_at_three_deviations_it_holds_the_share_it_was_drawn_from() -> None:
    found = wilson.interval(0.9, 10_000, deviations=3.0)
    half = 3 * (0.09 / 10_000) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.9 - half, 0.9 + half), abs=5e-4)
    for share in (0.0, 1.0):
        wide = wilson.interval(share, 500, deviations=3.0)
        assert wide.low - 1e-12 <= share <= wide.high + 1e-12
    assert wilson.interval(1.0, 500).low < 1
