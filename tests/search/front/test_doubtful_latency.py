"""A latency from a busy machine takes nothing away from a file that was timed in quiet."""

from __future__ import annotations

import pytest

from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement
from featherweight.rung_context import RungContext
from featherweight.specs.constraints import Constraint, parse
from featherweight.specs.objective import Objective
from featherweight.specs.protocol import Decision
from featherweight.specs.states import Phase
from search.early_stopping import rule
from search.front import comparison, front
from search.front.front import FrontCandidate
from search.phases import termination
from search.space.stored_problem import problem_of
from store.session import Database
from store.trials.ended_trials import EndedTrial
from tests import factories

BOTH = (
    Objective(metric="accuracy", direction="maximise"),
    Objective(metric="latency_ms", direction="minimise"),
)
SPEC = factories.spec(objectives=["maximise accuracy", "minimise latency_ms"])
BASELINE = factories.measurement(0.9, 100_000, latency_ms=10.0)


def file(
    accuracy: float, ms: float, *, within: float | None = None, size_bytes: int = 1000
) -> Measurement:
    """Timed beside a baseline of 10 ms; with ``within`` on a busy machine."""
    doubt = {} if within is None else {"busy": True, "within": within}
    timed = Latency(
        median_ms=ms, p95_ms=ms, threads=1, batch=1, baseline_ms=10.0, reference_ms=10.0, **doubt
    )
    return factories.measurement(accuracy, size_bytes, latency=timed)


def candidates(
    *files: Measurement, demands: tuple[Constraint, ...] = ()
) -> list[FrontCandidate[int]]:
    return [
        FrontCandidate(
            key=key, measurement=one, violation=comparison.violation(one, demands, BASELINE)
        )
        for key, one in enumerate(files)
    ]


def on_front(*files: Measurement) -> set[int]:
    found = front.select(candidates(*files), objectives=BOTH, constraints=(), baseline=BASELINE)
    return set(found.front)


def recommended(*files: Measurement, constraints: tuple[str, ...] = ()) -> int | None:
    demands = tuple(parse(text) for text in constraints)
    key, _ = front.recommend(
        candidates(*files, demands=demands),
        objectives=BOTH,
        constraints=demands,
        baseline=BASELINE,
    )
    return key


def test_a_doubtful_file_throws_none_off_the_front_that_may_be_faster() -> None:
    quiet = file(0.9, 4.0)
    assert on_front(quiet, file(0.9, 3.0)) == {1}
    assert on_front(quiet, file(0.9, 3.0, within=1.5)) == {0, 1}


def test_it_does_where_it_is_faster_whatever_the_doubt() -> None:
    assert on_front(file(0.9, 4.0), file(0.9, 2.0, within=1.5)) == {1}


def test_a_doubtful_file_stays_where_it_may_be_as_fast_and_goes_where_it_cannot() -> None:
    quiet = file(0.9, 4.0)
    assert on_front(quiet, file(0.9, 5.0, within=1.5)) == {0, 1}
    assert on_front(quiet, file(0.9, 7.0, within=1.5)) == {0}
    assert on_front(quiet, file(0.8, 5.0)) == {0}


def test_the_baseline_timed_alone_on_a_busy_machine_is_dominated_by_ratios_all_the_same() -> None:
    alone = Latency(median_ms=10.0, p95_ms=20.0, threads=1, batch=1, busy=True, within=3.0)
    assert on_front(factories.measurement(0.9, latency=alone), file(0.9, 5.0)) == {1}


def test_the_hypervolume_counts_no_speed_that_is_in_doubt() -> None:
    def volume(one: Measurement) -> float:
        return front.hypervolume([one], objectives=BOTH, baseline=BASELINE)

    assert volume(file(0.9, 2.0, within=1.5)) == pytest.approx(volume(file(0.9, 3.0)))


def test_a_file_that_may_miss_a_limit_is_recommended_only_where_there_is_no_other() -> None:
    limit = ("latency_ms <= 5 ms",)
    doubtful, sure = file(0.95, 4.5, within=1.5), file(0.9, 4.9)
    assert recommended(doubtful, sure, constraints=limit) == 1
    assert recommended(doubtful, constraints=limit) == 0
    assert recommended(file(0.95, 3.0, within=1.5), sure, constraints=limit) == 0


def test_the_knee_is_chosen_by_the_slowest_that_a_file_may_be() -> None:
    ends = file(0.95, 9.0), file(0.6, 1.0)
    assert recommended(*ends, file(0.9, 2.0, within=4.0), file(0.89, 2.5)) == 3
    assert recommended(*ends, file(0.9, 2.0), file(0.89, 2.5)) == 2


def judged(newcomer: Measurement, *peers: Measurement) -> Decision:
    context = RungContext(
        spec=SPEC.model_copy(
            update={"early_stopping": SPEC.early_stopping.model_copy(update={"eta": 3.0})}
        ),
        phase=Phase.SEARCH,
        rung=0,
        rungs=(0, 1),
        measurement=newcomer,
        baseline=BASELINE,
        peers=peers,
    )
    return rule.judge(context)


def test_no_trial_is_stopped_by_a_peer_whose_speed_is_in_doubt() -> None:
    quiet = file(0.8, 4.0)
    assert judged(quiet, file(0.8, 3.0), file(0.8, 3.5)).stop
    found = judged(quiet, file(0.8, 3.0, within=1.5), file(0.8, 3.5, within=1.5))
    assert (found.stop, found.rank) == (False, 0)


def test_no_trial_is_stopped_by_a_doubt_about_its_own_speed() -> None:
    peers = file(0.8, 4.0), file(0.8, 4.1)
    assert judged(file(0.8, 5.0), *peers).stop
    assert not judged(file(0.8, 5.0, within=1.5), *peers).stop
    assert judged(file(0.8, 7.0, within=1.5), *peers).stop


def test_a_limit_that_only_the_doubt_breaks_makes_no_trial_infeasible_at_a_rung() -> None:
    demands = (parse("latency_ms <= 5 ms"),)
    doubtful = file(0.8, 5.5, within=1.5).at_best()
    assert rule.lasting_violation(doubtful, demands, BASELINE) <= 0


def test_a_search_does_not_grow_by_a_speed_that_is_in_doubt() -> None:
    files = file(0.9, 4.0), file(0.9, 3.0, within=1.5)
    found = [EndedTrial(number=number, measurements=[one]) for number, one in enumerate(files)]
    first, second = termination.volumes(found, SPEC, BASELINE)
    assert first == second


def test_a_target_is_not_met_by_a_speed_that_is_in_doubt(database: Database) -> None:
    with database.write() as session:
        job = factories.searching_job(
            session,
            waiting=3,
            objectives=["maximise accuracy", "minimise latency_ms"],
            stop={"target": ["latency_ms <= 5 ms"]},
        )
        for timed in (file(0.9, 6.0), file(0.9, 4.0, within=1.5)):
            factories.deliver(session, factories.must_claim(session), measured=timed)
        problem = problem_of(session, job)
        assert termination.by_record(session, job, problem) is None
        factories.deliver(session, factories.must_claim(session), measured=file(0.9, 4.0))
        found = termination.by_record(session, job, problem)
    assert found is not None
    assert found.reason.endswith("meets latency_ms <= 5 ms")
