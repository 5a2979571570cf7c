from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.values.measurement import Measurement
from featherweight.specs.constraints import parse
from featherweight.specs.objective import Objective
from search.front import comparison, front
from search.front.front import FrontCandidate
from tests import factories

BOTH = (
    Objective(metric="accuracy", direction="maximise"),
    Objective(metric="size_bytes", direction="minimise"),
)
BASELINE = factories.measurement(0.9, 100_000)


def points(
    *values: tuple[float, int], constraints: tuple[str, ...] = ()
) -> list[FrontCandidate[int]]:
    wanted = [parse(text) for text in constraints]
    measured = [factories.measurement(*value) for value in values]
    return [
        FrontCandidate(key=key, measurement=m, violation=comparison.violation(m, wanted, BASELINE))
        for key, m in enumerate(measured)
    ]


def select(found: list[FrontCandidate[int]], *constraints: str) -> front.Selection[int]:
    return front.select(
        found, objectives=BOTH, constraints=[parse(c) for c in constraints], baseline=BASELINE
    )


def recommend(found: list[FrontCandidate[int]], *constraints: str) -> tuple[int | None, str]:
    return front.recommend(
        found, objectives=BOTH, constraints=[parse(c) for c in constraints], baseline=BASELINE
    )


def test_the_front_holds_what_nothing_dominates_by_ascending_size() -> None:
    found = points((0.9, 1000), (0.8, 900), (0.7, 950), (0.5, 10), (0.9, 1000))
    selection = select(found)
    assert selection.front == [3, 1, 0]
    assert selection.nearest is None
    assert selection.blocked_by is None


def test_infeasible_points_are_not_on_the_front() -> None:
    constraint = "accuracy >= baseline - 5 points"
    found = points((0.9, 1000), (0.8, 10), constraints=(constraint,))
    assert select(found, constraint).front == [0]


def test_where_nothing_is_feasible_the_nearest_and_its_blocker_are_named() -> None:
    constraints = ("accuracy >= 95 %", "size_bytes <= 1 kB")
    found = points((0.9, 1500), (0.5, 900), (0.94, 1010), constraints=constraints)
    selection = select(found, *constraints)
    assert selection.front == []
    assert selection.nearest == 2
    assert selection.blocked_by == "accuracy >= 95 %"
    assert recommend(found, *constraints)[0] == 2
    assert "accuracy >= 95 %" in recommend(found, *constraints)[1]


def test_no_points_have_no_front_and_no_recommendation() -> None:
    assert select([]) == front.Selection(front=[], nearest=None, blocked_by=None, hypervolume=0.0)
    assert recommend([])[0] is None


@pytest.mark.parametrize(
    ("accuracy", "size_bytes", "volume"),
    [
        (0.9, 100_000, 0.0),
        (1.0, 100, 1.0),
        (1.0, 10_000, 1 / 3),
        (0.9, 1000, (1 - 0.1 / 0.55) * 2 / 3),
        (0.45, 10, 0.0),
    ],
)
def test_the_hypervolume_of_one_file_is_that_of_its_formula(
    accuracy: float, size_bytes: int, volume: float
) -> None:
    assert select(points((accuracy, size_bytes))).hypervolume == pytest.approx(volume)


value = st.tuples(st.floats(0, 1), st.integers(1, 200_000))


@given(st.lists(value, min_size=1, max_size=10), value)
def test_the_hypervolume_is_a_share_and_grows_with_the_front(
    some: list[tuple[float, int]], more: tuple[float, int]
) -> None:
    before, after = select(points(*some)).hypervolume, select(points(*some, more)).hypervolume
    assert 0.0 <= before <= after + 1e-12
    assert after <= 1.0 + 1e-12


def test_without_a_baseline_there_is_no_hypervolume() -> None:
    selection = front.select(points((0.9, 10)), objectives=BOTH, constraints=[], baseline=None)
    assert selection.hypervolume == 0.0
    assert selection.front == [0]


def test_the_recommendation_follows_what_was_asked() -> None:
    values = ((0.9, 50_000), (0.89, 6_000), (0.85, 3_000), (0.4, 500))
    assert recommend(points(*values))[0] == 1
    floor = "accuracy >= baseline - 6 points"
    assert recommend(points(*values, constraints=(floor,)), floor)[0] == 2
    ceiling = "size_bytes <= 10 kB"
    assert recommend(points(*values, constraints=(ceiling,)), ceiling)[0] == 1
    assert "smallest" in recommend(points(*values, constraints=(floor,)), floor)[1]


def test_files_worse_than_half_the_baseline_do_not_move_the_knee() -> None:
    values = [(0.9, 50_000), (0.89, 6_000), (0.85, 3_000)]
    assert recommend(points(*values))[0] == recommend(points(*values, (0.1, 2)))[0]


def test_of_two_files_the_one_nearer_to_the_ideal_is_recommended() -> None:
    """Both are extremes of the front, and as far from the plane through them."""
    assert recommend(points((0.9, 100_000), (0.89, 30_000)))[0] == 1
    assert recommend(points((0.9, 100_000), (0.6, 99_000)))[0] == 0


def finalists(found: list[FrontCandidate[str]], count: int) -> list[str]:
    return front.finalists(found, count=count, objectives=BOTH, constraints=[], baseline=BASELINE)


def named(key: str, measurement: Measurement, violation: float = -1.0) -> FrontCandidate[str]:
    return FrontCandidate(key=key, measurement=measurement, violation=violation)


def test_finalists_are_different_candidates_that_spread_over_the_front() -> None:
    found = [
        named("a", factories.measurement(0.90, 50_000)),
        named("b", factories.measurement(0.89, 6_000)),
        named("b", factories.measurement(0.88, 5_900)),
        named("c", factories.measurement(0.80, 1_000)),
        named("dominated", factories.measurement(0.5, 60_000)),
    ]
    assert finalists(found, 2) == ["b", "c"]
    assert finalists(found, 9) == ["b", "c", "a"]
    assert finalists([], 3) == []


def test_where_nothing_is_feasible_the_nearest_are_finalists() -> None:
    found = [
        named("far", factories.measurement(0.5), 0.9),
        named("near", factories.measurement(0.6), 0.1),
        named("near", factories.measurement(0.7), 0.2),
    ]
    assert finalists(found, 1) == ["near"]
    assert finalists(found, 5) == ["near", "far"]


def test_a_job_of_another_quality_is_anchored_and_recommended_by_it() -> None:
    asked = (
        Objective(metric="macro_f1", direction="maximise"),
        Objective(metric="size_bytes", direction="minimise"),
    )
    figures = ((0.9, 0.5, 100_000), (0.8, 0.7, 50_000), (0.7, 0.6, 60_000))
    found = [
        FrontCandidate(
            key=key,
            measurement=factories.measurement(
                accuracy, size, quality=factories.quality(macro_f1=score)
            ),
            violation=-1.0,
        )
        for key, (accuracy, score, size) in enumerate(figures)
    ]
    baseline = found[0].measurement
    (axis, _) = front.on_axes(found[1].measurement, asked, baseline)
    assert axis == pytest.approx((1 - 0.7) / (1 - 0.5 / 2))
    selection = front.select(found, objectives=asked, constraints=[], baseline=baseline)
    assert selection.front == [1]
    limit, floor = parse("size_bytes <= 1 MB"), parse("macro_f1 >= 55 %")
    by = {"objectives": asked, "baseline": baseline}
    most = front.recommend(found, constraints=[limit], **by)
    assert most == (1, "the file with the best macro_f1 that meets every constraint")
    smallest = front.recommend(found, constraints=[floor], **by)
    assert smallest == (1, "the smallest file that meets every constraint")
