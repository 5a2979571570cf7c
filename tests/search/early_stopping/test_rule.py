from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.values.measurement import Measurement
from featherweight.rung_context import RungContext
from featherweight.specs.constraints import parse
from featherweight.specs.objective import Objective
from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from featherweight.specs.stopping import EarlyStopping, Rounding, TieBreak
from search.early_stopping.rule import Rule, decide, judge, lasting_violation
from search.front import comparison, pareto
from tests import factories

OBJECTIVES = (
    Objective(metric="accuracy", direction="maximise"),
    Objective(metric="size_bytes", direction="minimise"),
)
BASELINE = factories.measurement(0.9, 5000)
Peer = tuple[Measurement, float]
ties = st.sampled_from(["hypervolume", "net", "front"])
peer = st.tuples(
    st.builds(factories.measurement, st.integers(0, 8).map(lambda n: n / 8), st.integers(1, 8)),
    st.sampled_from([-1.0, -1.0, 0.0, 0.1, 0.7]),
)


def decided(
    measurement: Measurement,
    peers: list[Peer],
    *,
    violation: float = -1.0,
    eta: float = 3.0,
    objectives: tuple[Objective, ...] = OBJECTIVES,
    tie_break: TieBreak = "hypervolume",
    rounding: Rounding = "up",
) -> Decision:
    early = EarlyStopping(eta=eta, tie_break=tie_break, rounding=rounding)
    rule = Rule(objectives=objectives, early=early, baseline=BASELINE)
    return decide(measurement, violation, peers, rule=rule)


def test_the_first_trial_at_a_rung_climbs() -> None:
    decision = decided(factories.measurement(0.1, 10_000), [])
    assert not decision.stop
    assert (decision.rank, decision.peers, decision.allowed) == (0, 1, 1)


@given(st.lists(peer, max_size=12), st.floats(1.01, 16))
def test_one_that_dominates_all_others_is_never_stopped(peers: list[Peer], eta: float) -> None:
    best = factories.measurement(1.0, 1)
    beaten = [p for p in peers if p[0] != best]
    assert not decided(best, beaten, eta=eta).stop


@given(st.lists(peer, min_size=3, max_size=12), st.floats(1.01, 16))
def test_one_that_every_other_dominates_is_stopped(peers: list[Peer], eta: float) -> None:
    worst = factories.measurement(0.0, 9)
    feasible = [(m, -1.0) for m, _ in peers]
    decision = decided(worst, feasible, eta=eta)
    allowed = math.ceil((len(peers) + 1) / eta)
    assert decision.stop == (allowed <= len(peers))


@given(st.lists(peer, max_size=12), peer, st.randoms(), st.floats(1.01, 16), ties)
def test_the_order_of_the_peers_does_not_matter(
    peers: list[Peer], new: Peer, random_: random.Random, eta: float, tie_break: TieBreak
) -> None:
    shuffled = random_.sample(peers, len(peers))
    measurement, violation = new
    how = {"violation": violation, "eta": eta, "tie_break": tie_break}
    assert decided(measurement, shuffled, **how) == decided(measurement, peers, **how)


@pytest.mark.parametrize("tie_break", ["hypervolume", "net", "front"])
def test_with_nearest_the_first_at_a_rung_stops_and_the_better_second_climbs(
    tie_break: TieBreak,
) -> None:
    how = {"tie_break": tie_break, "rounding": "nearest"}
    first, better = factories.measurement(0.8, 500), factories.measurement(0.9, 400)
    alone = decided(first, [], **how)
    assert (alone.stop, alone.allowed) == (True, 0)
    assert alone.reason == "the first trial at this rung stops"
    assert not decided(better, [(first, -1.0)], **how).stop
    assert decided(first, [(better, -1.0)], **how).stop
    assert not decided(first, [], eta=2.0, **how).stop


def test_a_reason_says_where_none_climbs() -> None:
    two = [(factories.measurement(0.8, 500), -1.0), (factories.measurement(0.7, 400), -1.0)]
    decision = decided(two[0][0], two[1:], eta=8.0, rounding="nearest")
    assert (
        decision.reason == "stops: rank 0 (the front has 0) of 2 trials at this rung; none climbs"
    )


@given(st.lists(peer, max_size=12), st.floats(1.01, 16), ties, st.sampled_from(["up", "nearest"]))
def test_no_more_than_its_share_of_a_rung_would_climb(
    peers: list[Peer], eta: float, tie_break: TieBreak, rounding: Rounding
) -> None:
    """Judged against all others at the end, at most ``n / eta`` of them, rounded, would climb.

    With ``front`` those too that nothing dominates, once one climbs.
    """
    share = math.ceil(len(peers) / eta)
    if rounding == "nearest":
        share = math.floor(len(peers) / eta + 0.5)
    climbing = sum(
        not decided(
            measurement,
            peers[:index] + peers[index + 1 :],
            violation=violation,
            eta=eta,
            tie_break=tie_break,
            rounding=rounding,
        ).stop
        for index, (measurement, violation) in enumerate(peers)
    )
    measured, violations = [m for m, _ in peers], [amount for _, amount in peers]
    ranks = pareto.ranks([comparison.vector(m, OBJECTIVES) for m in measured], violations)
    whole = ranks.count(0) if tie_break == "front" and share else 0
    assert climbing <= max(share, whole)


@given(st.lists(peer, max_size=12), st.integers(0, 8), st.integers(1, 8), st.floats(1.01, 16))
def test_with_front_exactly_those_stop_that_something_dominates_and_the_share_leaves_out(
    peers: list[Peer], eighths: int, size: int, eta: float
) -> None:
    new, feasible = factories.measurement(eighths / 8, size), [(m, -1.0) for m, _ in peers]
    found = decided(new, feasible, eta=eta, tie_break="front")
    if found.rank == 0 and new not in [m for m, _ in peers]:
        assert not found.stop
        assert found.tie_break is None
    else:
        assert found.stop == decided(new, feasible, eta=eta).stop


@pytest.mark.parametrize("tie_break", ["hypervolume", "net", "front"])
@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_of_equal_trials_only_the_first_climbs(n: int, tie_break: TieBreak) -> None:
    same = factories.measurement(0.8, 500)
    stops = [
        decided(same, [(same, -1.0)] * before, tie_break=tie_break).stop for before in range(n)
    ]
    assert stops == [False] + [True] * (n - 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30, unique=True), st.integers(2, 8))
def test_with_one_objective_it_is_plain_successive_halving(
    accuracies: list[float], eta: int
) -> None:
    new, *others = [factories.measurement(a) for a in accuracies]
    ahead = sum(a > accuracies[0] for a in accuracies)
    decision = decided(new, [(o, -1.0) for o in others], eta=eta, objectives=OBJECTIVES[:1])
    assert decision.stop == (ahead >= math.ceil(len(accuracies) / eta))
    assert decision.rank == ahead


def test_a_feasible_trial_climbs_before_any_infeasible_one() -> None:
    better_but_infeasible = [(factories.measurement(0.99, 10), 0.2)] * 8
    assert not decided(factories.measurement(0.2, 9000), better_but_infeasible).stop
    stopped = decided(
        factories.measurement(0.99, 1), [(factories.measurement(0.2), 0.0)] * 8, violation=0.1
    )
    assert stopped.stop
    assert "a constraint violated by 10.0% of its bound" in stopped.reason


def test_a_whole_front_climbs_where_it_is_asked_for_and_what_it_dominates_stops() -> None:
    front = [(0.9, 1000), (0.88, 150), (0.87, 149), (0.5, 148)]
    peers = [(factories.measurement(*point), -1.0) for point in front]
    for index in range(len(front)):
        others = peers[:index] + peers[index + 1 :]
        found = decided(peers[index][0], others, eta=2, tie_break="front")
        assert (found.stop, found.rank, found.allowed) == (False, 0, 4)
    behind = decided(factories.measurement(0.87, 150), peers, eta=2, tie_break="front")
    assert (behind.stop, behind.rank, behind.allowed) == (True, 1, 4)


def test_within_a_front_those_climb_that_alone_add_most_hypervolume() -> None:
    front = [(0.9, 1000), (0.88, 150), (0.87, 149), (0.5, 148)]
    found = [
        decided(
            factories.measurement(*point),
            [(factories.measurement(*other), -1.0) for other in front if other != point],
            eta=2,
        )
        for point in front
    ]
    assert [decision.stop for decision in found] == [False, False, True, True]
    values = [decision.tie_break for decision in found]
    assert all(value is not None for value in values)
    assert sorted(values, reverse=True) == values[:2] + sorted(values[2:], reverse=True)


def test_without_a_baseline_no_tie_can_be_broken_by_hypervolume() -> None:
    peers = [(factories.measurement(0.5, 10), -1.0), (factories.measurement(0.7, 20), -1.0)]
    early = EarlyStopping(tie_break="hypervolume", rounding="up")
    rule = Rule(objectives=OBJECTIVES, early=early)
    with pytest.raises(ValueError, match="no baseline to anchor it"):
        decide(factories.measurement(0.9, 100), -1.0, peers, rule=rule)


def test_with_the_net_the_knee_climbs_first_and_then_the_farthest() -> None:
    front = [(0.99, 1000), (0.97, 150), (0.96, 140), (0.5, 10)]
    climbs = {}
    for eta in (4, 2, 1.3):
        climbs[eta] = [
            not decided(
                factories.measurement(*point),
                [(factories.measurement(*other), -1.0) for other in front if other != point],
                eta=eta,
                tie_break="net",
            ).stop
            for point in front
        ]
    assert climbs[4] == [False, True, False, False]
    assert climbs[2] == [False, True, False, True]
    assert sum(climbs[1.3]) == 4


def test_a_person_can_read_why() -> None:
    peers = [(factories.measurement(0.9, 100 + n), -1.0) for n in range(6)]
    decision = decided(factories.measurement(0.8, 5000), peers)
    assert (
        decision.reason
        == "stops: rank 6 (the front has 0) of 7 trials at this rung; the best 3 climb"
    )


def test_a_person_can_read_why_one_of_equal_rank_stops() -> None:
    peers = [(factories.measurement(a, b), -1.0) for a, b in ((0.99, 1000), (0.97, 150), (0.5, 10))]
    decision = decided(factories.measurement(0.96, 140), peers, eta=2)
    assert decision.reason == (
        "stops: rank 0 (the front has 0) of 4 trials at this rung; the best 2 climb, 2 of 4 with "
        f"this rank, by the hypervolume that it alone adds: {decision.tie_break:.3g}"
    )
    by_net = decided(factories.measurement(0.96, 140), peers, eta=2, tie_break="net")
    assert by_net.reason.endswith(
        f"with this rank, at a distance of {by_net.tie_break:.3g} from those taken before"
    )


def test_thousands_of_peers_on_one_front_are_judged() -> None:
    peers = [(factories.measurement(n / 10_000, 1 + n), -1.0) for n in range(2_000)]
    decision = decided(factories.measurement(1.0, 3_000), peers)
    assert decision.peers == 2_001
    assert not decision.stop


def test_a_floor_on_any_quality_of_the_answers_waits_for_training() -> None:
    floor = parse("macro_f1 >= 80 %")
    weak = factories.measurement(quality=factories.quality(macro_f1=0.1))
    assert floor.violation(weak, None) == pytest.approx(0.875)
    assert lasting_violation(weak, [floor], None) < 0


def test_an_accuracy_floor_does_not_count_while_training_can_still_meet_it():
    floor, limit = parse("accuracy >= baseline - 1 point"), parse("size_bytes <= 1000 B")
    baseline = factories.measurement(0.9, 5000)
    weak_and_small, strong_and_large = (
        factories.measurement(0.5, 500),
        factories.measurement(0.9, 2000),
    )
    both = (floor, limit)
    assert lasting_violation(weak_and_small, both, baseline) <= 0
    assert lasting_violation(strong_and_large, both, baseline) == 1.0


def reached(measurement: Measurement, peers: list[Measurement], **changes: object) -> RungContext:
    """A search trial at rung 0 of 0, 1 and 3 epochs, without constraints."""
    fields: dict[str, object] = {
        "spec": factories.spec(early_stopping={"rungs": [0, 1, 3], "eta": 3}),
        "phase": Phase.SEARCH,
        "rung": 0,
        "rungs": (0, 1, 3),
        "measurement": measurement,
        "baseline": BASELINE,
        "peers": peers,
    }
    return RungContext(**(fields | changes))


def test_at_the_last_rung_there_is_nothing_to_decide() -> None:
    better = factories.measurement(0.9)
    decision = judge(reached(factories.measurement(0.1), [better], rung=2))
    assert not decision.stop
    assert decision.rank is None


def test_a_trial_stops_where_its_next_rung_would_pass_the_epochs() -> None:
    spec = factories.spec(budget={"trials": 6, "epochs": 12})
    best = factories.measurement(0.8, 1)
    at = {"spec": spec, "rung": 1}
    assert not judge(reached(best, [], epochs_left=3, **at)).stop
    decision = judge(reached(best, [], epochs_left=2, **at))
    assert decision.stop
    assert decision.reason == (
        "stops: the next rung takes 2 more epochs, and of the job's 12 (budget.epochs) 1 are free"
    )


def test_a_trial_stops_where_its_next_rung_would_take_too_much_of_the_seconds() -> None:
    spec = factories.spec(budget={"trials": 6, "seconds": 800})
    best = factories.measurement(0.8, 1).model_copy(
        update={"seconds": {"load": 500.0, "train": 41.0, "recover": 10.0}}
    )
    decision = judge(reached(best, [], spec=spec, rung=1))
    assert decision.stop
    assert decision.reason == (
        "stops: the next rung would train for 102 s, and at most 100 s are allowed: 0.125 "
        "(early_stopping.longest) of the job's 800 (budget.seconds)"
    )
    assert not judge(reached(best, [], spec=spec, rung=0)).stop
    for changes in (
        {"budget": {"trials": 6, "seconds": 900}},
        {"budget": {"trials": 6}},
        {"budget": {"trials": 6, "seconds": 800}, "early_stopping": {"longest": None}},
    ):
        assert not judge(reached(best, [], spec=factories.spec(**changes), rung=1)).stop


def test_a_late_bloomer_climbs_by_the_quality_that_its_peers_let_hope_for() -> None:
    """Peers that began low and rose ended best; without extrapolation the risen one is last."""
    spec = factories.spec(early_stopping={"rungs": [0, 1, 3], "eta": 3, "extrapolate": True})
    curves = [[0.2 + 0.1 * n, 0.6 + 0.01 * n, 0.95 - 0.03 * n] for n in range(6)]
    peers = [factories.measurement(curve[1], 1000) for curve in curves]
    bloomer = factories.measurement(0.59, 1000)
    at = {"rung": 1, "curve": [0.1, 0.59], "peer_curves": curves}
    plain = judge(reached(bloomer, peers, **at))
    hopeful = judge(reached(bloomer, peers, spec=spec, **at))
    assert (plain.stop, plain.extrapolated) == (True, None)
    assert not hopeful.stop
    assert hopeful.extrapolated == pytest.approx(0.98, abs=0.03)
    assert f"a quality of {hopeful.extrapolated:.4f} that the last rung may" in hopeful.reason
