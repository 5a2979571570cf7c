"""How much more training can bring a trial, and what a job makes of it that leaves the choice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featherweight.specs.constraints import parse
from featherweight.specs.stopping import EarlyStopping
from search.early_stopping import headroom, rule
from search.early_stopping.rule import Rule
from tests import factories
from tests.search.early_stopping.test_rule import OBJECTIVES, reached

BASELINE = factories.measurement(0.9, 5000)
accuracies = st.integers(0, 20).map(lambda n: n / 20)


def left(accuracy: float, *peers: float, constraints: tuple[str, ...] = ()) -> float | None:
    return headroom.left(
        factories.measurement(accuracy, 100),
        [factories.measurement(each, 100) for each in peers],
        baseline=BASELINE,
        constraints=[parse(text) for text in constraints],
    )


def test_it_is_a_share_of_the_axis_of_the_hypervolume() -> None:
    """Half of the baseline's accuracy is worth nothing; between that and 1 the axis is even."""
    assert left(0.9) == 0.0
    assert left(0.45) == 1.0
    assert left(0.675) == pytest.approx(0.5)
    assert left(0.2) == 1.0
    assert left(0.95) == 0.0


def test_a_better_peer_shows_what_is_within_reach() -> None:
    assert left(0.9, 0.95, 0.5) == pytest.approx(1 - 0.45 / 0.5)


@given(accuracies, st.lists(accuracies, max_size=4))
def test_more_accuracy_leaves_less(accuracy: float, peers: list[float]) -> None:
    before, after = left(accuracy, *peers), left(min(1.0, accuracy + 0.05), *peers)
    assert before is not None
    assert after is not None
    assert 0.0 <= after <= before <= 1.0


def test_a_missed_floor_on_accuracy_is_room_whatever_the_share() -> None:
    assert left(0.88, constraints=("accuracy >= baseline - 1 point",)) is None
    assert left(0.895, constraints=("accuracy >= baseline - 1 point",)) is not None
    assert left(0.88, constraints=("size_bytes <= 10 B",)) is not None


def test_nothing_is_said_without_a_baseline_or_with_one_that_is_never_right() -> None:
    measured = factories.measurement(0.9, 100)
    assert headroom.left(measured, [], baseline=None, constraints=()) is None
    wrong = factories.measurement(0.0, 100)
    assert headroom.left(wrong, [], baseline=wrong, constraints=()) is None


@pytest.mark.parametrize(
    ("share", "tie_break", "rounding"),
    [
        (None, "front", "up"),
        (headroom.LITTLE, "front", "up"),
        (math.nextafter(headroom.LITTLE, 0), "hypervolume", "nearest"),
    ],
)
def test_only_what_the_job_leaves_open_is_settled(
    share: float | None, tie_break: str, rounding: str
) -> None:
    found = headroom.settled(EarlyStopping(), share)
    assert (found.tie_break, found.rounding) == (tie_break, rounding)
    fixed = EarlyStopping(tie_break="net", rounding="up")
    assert headroom.settled(fixed, share) == fixed
    half = headroom.settled(EarlyStopping(tie_break="front"), share)
    assert (half.tie_break, half.rounding) == ("front", rounding)


def test_a_rule_that_is_not_settled_cannot_judge() -> None:
    with pytest.raises(ValueError, match="has to be settled before"):
        Rule(objectives=OBJECTIVES, early=EarlyStopping(), baseline=BASELINE)


def test_the_first_at_a_rung_climbs_where_training_may_bring_much() -> None:
    far, near = (rule.judge(reached(factories.measurement(a, 100), [])) for a in (0.8, 0.89))
    assert (far.stop, near.stop) == (False, True)
    assert far.reason == "the first trial at this rung climbs"
    assert near.reason == (
        "the first trial at this rung stops; "
        "little is left to gain: 2.2% of the quality within reach"
    )
    assert near.room == pytest.approx(0.01 / 0.45)


def test_near_the_baseline_the_front_climbs_only_in_part() -> None:
    peers = [factories.measurement(0.7 + n / 50, 100 * 2**n) for n in range(8)]
    far, near = factories.measurement(0.69, 90), factories.measurement(0.89, 100 * 2**9)
    assert not rule.judge(reached(far, peers)).stop
    found = rule.judge(reached(near, peers))
    assert (found.rank, found.allowed, found.stop) == (0, 3, True)


def test_what_a_job_says_itself_is_not_explained_by_the_room_that_is_left() -> None:
    early = {"rungs": [0, 1, 3], "tie_break": "front", "rounding": "up"}
    said = rule.judge(
        reached(factories.measurement(0.9, 100), [], spec=factories.spec(early_stopping=early))
    )
    assert (said.stop, said.room) == (False, None)
